# Tables, plots, and what DVC and MLflow show of them.
# A table and its plot, from metrics alone.
rule table:
    input:
        unpack(needs(graph.Table)),
    output:
        report(
            path(graph.Table),
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
            f"{RESULTS}/tables/{{table}}", ".md", ".tex", ".csv", "_seeds.csv", "_gains.csv", "_record.json"
        ),
    log:
        f"{RESULTS}/logs/tables/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/{{table}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        key=keys(graph.Table),
        depends=depends(graph.Table),
    message:
        "writing the table {wildcards.table}"
    shell:
        "promptdistill table {params.key} {CONFIGURATION} 2> {log}"


# `snakemake few_shot` makes that table alone.
for table in EXPERIMENT.tables:

    rule:
        name:
            table
        input:
            f"{RESULTS}/{graph.Table(table).path}",


# A method beside its variants, and a plot of what each gains or loses.
rule ablation_table:
    input:
        unpack(needs(graph.AblationTable)),
    output:
        report(
            path(graph.AblationTable),
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
        multiext(f"{RESULTS}/tables/ablation_{{method}}", ".md", ".tex", ".csv", "_seeds.csv", "_record.json"),
    log:
        f"{RESULTS}/logs/tables/ablation_{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/ablation_{{method}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        key=keys(graph.AblationTable),
        depends=depends(graph.AblationTable),
    message:
        "comparing {wildcards.method} with its variants"
    shell:
        "promptdistill ablation {params.key} {CONFIGURATION} 2> {log}"


rule ablation:
    input:
        [f"{RESULTS}/{graph.AblationTable(method).path}" for method in EXPERIMENT.ablations],


# The averages of all tables, for `dvc metrics` and `dvc plots`.
rule overview:
    input:
        unpack(needs(graph.Overview)),
    output:
        metrics=path(graph.Overview),
        plot=f"{RESULTS}/overview/averages.csv",
    log:
        f"{RESULTS}/logs/tables/overview.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/overview.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        depends=depends(graph.Overview),
    message:
        "gathering the averages"
    shell:
        "promptdistill overview {CONFIGURATION} 2> {log}"


# Results into MLflow. Jobs write files only; this one job, last, imports them: many jobs at once would
# break a new SQLite file, and Slurm's nodes may reach no server.
rule track:
    input:
        unpack(needs(graph.Tracking)),
    output:
        path(graph.Tracking),
    log:
        f"{RESULTS}/logs/tracking.log",
    benchmark:
        f"{RESULTS}/benchmarks/tracking.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        depends=depends(graph.Tracking),
        # Another server or experiment is to be filled, too.
        store=str(store_of(Path(RESULTS))),
    message:
        "importing the results into MLflow, {params.store}"
    shell:
        "promptdistill track {CONFIGURATION} 2> {log}"
