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


# Some pictures of every miniature data set.
rule miniature_contact_sheet:
    output:
        f"{RESULTS}/miniature/contact_sheet.png",
    log:
        f"{RESULTS}/logs/miniature/contact_sheet.log",
    benchmark:
        f"{RESULTS}/benchmarks/miniature/contact_sheet.tsv"
    conda:
        CPU_ENV
    params:
        depends=fingerprint("miniature.datasets"),
    message:
        "drawing the contact sheet"
    shell:
        "promptdistill miniature contact-sheet --output {output} 2> {log:q}"
