# The shipped miniature models are made by these targets; nothing else depends on them.
# Train a miniature model again, for comparison with the shipped one (tens of minutes).
rule miniature_pretrain:
    output:
        weights=f"{RESULTS}/miniature/miniature-{{model}}.safetensors",
        card=f"{RESULTS}/miniature/miniature-{{model}}.card.json",
    log:
        f"{RESULTS}/logs/miniature/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/miniature/{{model}}.tsv"
    conda:
        CPU_ENV
    threads: 2
    resources:
        mem_mb=6000,
        runtime="6h",
    params:
        folder=subpath(output.weights, parent=True),
    message:
        "pretraining the miniature {wildcards.model}"
    shell:
        "promptdistill miniature pretrain {wildcards.model} --output {params.folder} 2> {log:q}"
