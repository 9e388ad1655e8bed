# Results into MLflow. Jobs write files only; this one job, last, imports them: many jobs at once would
# break a new SQLite file, and Slurm's nodes may reach no server.
rule track:
    input:
        tables=expand(
            f"{RESULTS}/tables/{{table}}{{form}}",
            table=configuration.tables(CONFIG),
            form=[".html", ".png", ".csv", "_seeds.csv", "_gains.csv"],
        ),
        metrics=tracked_metrics(),
        # Times are read, too, where they are: a missing measurement is no reason to train again.
        runs=tracked_runs(),
        splits=tracked_splits(),
        sources=layout.sources("tracking"),
    output:
        f"{RESULTS}/tracking.json",
    log:
        f"{RESULTS}/logs/tracking.log",
    benchmark:
        f"{RESULTS}/benchmarks/tracking.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        results=RESULTS,
        tables=layout.flags("table", [f"{RESULTS}/tables/{name}" for name in configuration.tables(CONFIG)]),
        metrics=lambda wildcards, input: layout.flags("metrics", input.metrics),
        jobs=training_jobs(),
        # Another server or experiment is to be filled, too.
        store=str(store_of(Path(RESULTS))),
    message:
        "importing the results into MLflow, {params.store}"
    shell:
        "promptdistill track --results {params.results} {params.tables} {params.metrics}"
        " --jobs {params.jobs:q} --output {output} 2> {log}"
