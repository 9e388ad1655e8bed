# The base-to-novel table and its plot, from metrics alone.
rule table:
    input:
        metrics=f"{RESULTS}/metrics/base_to_novel.json",
        published=CONFIG.published or [],
        methods=[
            CONFIG_DIR / "methods" / f"{configuration.split_method(method)[0]}.yaml"
            for method in CONFIG.methods
        ],
        sources=layout.sources("tables"),
    output:
        report(
            f"{RESULTS}/tables/base_to_novel.html",
            caption="../report/base_to_novel.rst",
            category="Tables",
        ),
        report(
            f"{RESULTS}/tables/base_to_novel.png",
            caption="../report/base_to_novel_plot.rst",
            category="Plots",
        ),
        f"{RESULTS}/tables/base_to_novel.md",
        f"{RESULTS}/tables/base_to_novel.csv",
        f"{RESULTS}/tables/base_to_novel_seeds.csv",
    log:
        f"{RESULTS}/logs/tables/base_to_novel.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/base_to_novel.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        datasets=layout.flags("dataset", CONFIG.datasets),
        methods=layout.flags("method", CONFIG.methods),
        published=layout.flags("published", [CONFIG.published] if CONFIG.published else []),
        note=layout.flags("note", [CONFIG.note] if CONFIG.note else []),
        config_hash=configuration.digest(CONFIG),
        table=f"{RESULTS}/tables/base_to_novel",
    message:
        "writing the table"
    shell:
        "promptdistill table --metrics {input.metrics} {params.datasets} {params.methods} {params.published}"
        " --config-dir {CONFIG_DIR} --config-hash {params.config_hash} {params.note}"
        " --output {params.table} 2> {log}"
