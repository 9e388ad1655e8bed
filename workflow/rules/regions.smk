# Random regions of every training image, cut and resized once, if they fit into the disk allowed.
rule regions:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        sources=layout.sources("regions"),
    output:
        # Shards lie beside the manifest and are not declared, so that a killed build keeps them.
        STORED_REGIONS,
    log:
        f"{RESULTS}/logs/regions/{{dataset}}_{{crops}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regions/{{dataset}}_{{crops}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: max(1, CONFIG.jobs.loader_workers)
    resources:
        mem_mb=8000,
        runtime="6h",
        cpus_per_task=max(1, CONFIG.jobs.loader_workers),
    params:
        folder=subpath(output[0], parent=True),
        student=STUDENT,
        regions=named_region_flags,
        max_gb=CONFIG.regions.max_gb,
    message:
        "{wildcards.dataset}: cutting {wildcards.crops} regions of each image"
    shell:
        "promptdistill regions --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --student {params.student} {params.regions} --max-gb {params.max_gb}"
        " --workers {CONFIG.jobs.loader_workers} --output {params.folder} 2> {log}"
