# Fetch or draw a data set, or recognise its folder.
rule data:
    input:
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
    params:
        entry=dataset_entry,
        data_root=CONFIG.data_root,
    message:
        "{wildcards.dataset}: looking for the data set"
    shell:
        "promptdistill data --dataset {wildcards.dataset} {DATASET_FLAGS} --output {output} 2> {log}"


# Check the split against the files.
rule split:
    input:
        receipt=f"{RESULTS}/data/{{dataset}}.json",
        sources=layout.sources("split"),
    output:
        f"{RESULTS}/splits/{{dataset}}/split.json",
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
        entry=dataset_entry,
        data_root=CONFIG.data_root,
    message:
        "{wildcards.dataset}: checking the split"
    shell:
        "promptdistill split --dataset {wildcards.dataset} {DATASET_FLAGS} --output {output} 2> {log}"


# A few-shot draw from the split.
rule draw:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        sources=layout.sources("split"),
    output:
        f"{RESULTS}/splits/{{dataset}}/{{shots}}shots_seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/split/{{dataset}}_{{shots}}shots_seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/split/{{dataset}}_{{shots}}shots_seed{{seed}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    message:
        "{wildcards.dataset}: drawing {wildcards.shots} shots, seed {wildcards.seed}"
    shell:
        "promptdistill draw --split {input.split} --shots {wildcards.shots} --seed {wildcards.seed}"
        " --output {output} 2> {log}"
