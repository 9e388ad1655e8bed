# Fetch or draw a data set, or recognise its folder.
rule data:
    output:
        path(graph.Receipt),
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/data/{{dataset}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        **job(graph.Receipt),
    message:
        "{wildcards.dataset}: looking for the data set"
    shell:
        "promptdistill data {params.key} {CONFIGURATION} 2> {log:q}"


# Check the split against the files.
rule split:
    input:
        unpack(needs(graph.Split)),
    output:
        path(graph.Split),
    log:
        f"{RESULTS}/logs/splits/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/splits/{{dataset}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        **job(graph.Split),
    message:
        "{wildcards.dataset}: checking the split"
    shell:
        "promptdistill split {params.key} {CONFIGURATION} 2> {log:q}"


# A few-shot draw from the split.
rule draw:
    input:
        unpack(needs(graph.Draw)),
    output:
        path(graph.Draw),
    log:
        f"{RESULTS}/logs/splits/{{dataset}}/{{shots}}/{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/splits/{{dataset}}/{{shots}}/{{seed}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        **job(graph.Draw),
    message:
        "{wildcards.dataset}: drawing {wildcards.shots} shots, seed {wildcards.seed}"
    shell:
        "promptdistill draw {params.key} {CONFIGURATION} 2> {log:q}"
