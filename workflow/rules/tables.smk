# A table and its plot, from metrics alone.
rule table:
    input:
        metrics=lambda wildcards: expand(
            f"{RESULTS}/metrics/{{protocol}}/{{method}}.json",
            protocol=configuration.training_of(wildcards.table),
            method=configuration.methods_of(wildcards.table, CONFIG, CONFIG_DIR),
        ),
        published=published_numbers,
        methods=lambda wildcards: [
            CONFIG_DIR / "methods" / f"{configuration.family(method)}.yaml"
            for method in configuration.methods_of(wildcards.table, CONFIG, CONFIG_DIR)
        ],
        sources=layout.sources("tables"),
    output:
        report(
            f"{RESULTS}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        report(
            f"{RESULTS}/tables/{{table}}.png",
            caption="../report/plot.rst",
            category="Plots",
            labels={"table": "{table}"},
        ),
        multiext(
            f"{RESULTS}/tables/{{table}}", ".md", ".tex", ".csv", "_seeds.csv", "_gains.csv", "_origin.json"
        ),
    log:
        f"{RESULTS}/logs/tables/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/{{table}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        metrics=lambda wildcards, input: layout.flags("metrics", input.metrics),
        source=table_source,
        datasets=lambda wildcards: layout.flags("dataset", configuration.tested(wildcards.table, CONFIG)),
        methods=lambda wildcards: layout.flags(
            "method", configuration.methods_of(wildcards.table, CONFIG, CONFIG_DIR)
        ),
        runs=lambda wildcards: runs_flags(configuration.training_of(wildcards.table)),
        published=lambda wildcards, input: layout.flags("published", _listed(input.get("published"))),
        note=lambda wildcards: layout.flags("note", [CONFIG.note] if CONFIG.note else []),
        configuration=lambda wildcards: CONFIG.model_dump_json(),
        table=subpath(output[0], strip_suffix=".html"),
    message:
        "writing the table {wildcards.table}"
    shell:
        "promptdistill table {wildcards.table} {params.metrics} {params.source} {params.datasets}"
        " {params.methods} {params.runs} {params.published} --config-dir {CONFIG_DIR}"
        " --configuration {params.configuration:q} {params.note} --output {params.table} 2> {log}"


# `snakemake few_shot` makes that table alone.
for table in configuration.tables(CONFIG):

    rule:
        name:
            table
        input:
            f"{RESULTS}/tables/{table}.html",


# The averages of all tables, for `dvc metrics` and `dvc plots`.
rule overview:
    input:
        tables=expand(f"{RESULTS}/tables/{{table}}.csv", table=configuration.tables(CONFIG)),
        sources=layout.sources("tables"),
    output:
        metrics=f"{RESULTS}/overview/metrics.json",
        plot=f"{RESULTS}/overview/averages.csv",
    log:
        f"{RESULTS}/logs/tables/overview.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/overview.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    message:
        "gathering the averages"
    shell:
        "promptdistill overview {input.tables} --metrics {output.metrics} --plot {output.plot} 2> {log}"


# A method beside its variants, and a plot of what each gains or loses.
rule ablation_table:
    input:
        metrics=lambda wildcards: expand(
            f"{RESULTS}/metrics/base_to_novel/{{method}}.json", method=compared(wildcards.method)
        ),
        entry=lambda wildcards: CONFIG_DIR / "methods" / f"{configuration.family(wildcards.method)}.yaml",
        sources=layout.sources("tables"),
    output:
        report(
            f"{RESULTS}/tables/ablation_{{method}}.html",
            caption="../report/ablation.rst",
            category="Tables",
            labels={"table": "ablation of {method}"},
        ),
        report(
            f"{RESULTS}/tables/ablation_{{method}}.png",
            caption="../report/ablation.rst",
            category="Plots",
            labels={"table": "ablation of {method}"},
        ),
        multiext(f"{RESULTS}/tables/ablation_{{method}}", ".md", ".tex", ".csv", "_seeds.csv", "_origin.json"),
    log:
        f"{RESULTS}/logs/tables/ablation_{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/ablation_{{method}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        metrics=lambda wildcards, input: layout.flags("metrics", input.metrics),
        datasets=layout.flags("dataset", CONFIG.datasets),
        runs=lambda wildcards: runs_flags("base_to_novel"),
        note=lambda wildcards: layout.flags("note", [CONFIG.note] if CONFIG.note else []),
        configuration=lambda wildcards: CONFIG.model_dump_json(),
        table=subpath(output[0], strip_suffix=".html"),
    message:
        "comparing {wildcards.method} with its variants"
    shell:
        "promptdistill ablation {params.metrics} {params.datasets} --method {wildcards.method} {params.runs}"
        " --config-dir {CONFIG_DIR} --configuration {params.configuration:q} {params.note} --output {params.table}"
        " 2> {log}"


rule ablation:
    input:
        expand(
            f"{RESULTS}/tables/ablation_{{method}}.html", method=configuration.ablations(CONFIG, CONFIG_DIR)
        ),
