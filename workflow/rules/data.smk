# Fetch or draw a data set, or recognise its folder.
rule data:
    input:
        dataset=dataset_file,
        sources=layout.sources("data"),
        pictures=lambda wildcards: (
            layout.sources("pictures")
            if configuration.load_dataset(wildcards.dataset, CONFIG_DIR).miniature
            else []
        ),
    output:
        f"{RESULTS}/data/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/data/{{dataset}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="6h",
    message:
        "{wildcards.dataset}: looking for the data set"
    shell:
        "promptdistill data --dataset {wildcards.dataset} {DATASET_FLAGS} --output {output} 2> {log}"


# Check the split against the files; make the few-shot draws.
rule split:
    input:
        receipt=f"{RESULTS}/data/{{dataset}}.json",
        sources=layout.sources("split"),
    output:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        draws=expand(
            f"{RESULTS}/splits/{{{{dataset}}}}/{{shots}}shots_seed{{seed}}.json",
            shots=PROTOCOL.shots,
            seed=PROTOCOL.seeds,
        ),
    log:
        f"{RESULTS}/logs/split/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/split/{{dataset}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        folder=subpath(output.split, parent=True),
        draws=layout.flags("draw", [f"{PROTOCOL.shots}:{seed}" for seed in PROTOCOL.seeds]),
    message:
        "{wildcards.dataset}: checking the split, drawing few shots"
    shell:
        "promptdistill split --dataset {wildcards.dataset} {DATASET_FLAGS} {params.draws}"
        " --output {params.folder} 2> {log}"
