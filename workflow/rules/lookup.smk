# The teacher's answers for random regions of every training image, computed once.
rule lookup:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        weights=layout.weights(CONFIG.backbones.teacher),
        sources=layout.sources("lookup"),
    output:
        # Shards lie beside the manifest and are not declared, so that a killed build keeps them.
        f"{RESULTS}/lookup/{{dataset}}/manifest.json",
    log:
        f"{RESULTS}/logs/lookup/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lookup/{{dataset}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=16000,
        runtime="12h",
        gpu=GPUS,
    params:
        template=template,
        machine=MACHINE_FLAGS,
        folder=subpath(output[0], parent=True),
        teacher=TEACHER,
        regions=REGION_FLAGS,
        shard_images=CONFIG.lookup.shard_images,
    message:
        "{wildcards.dataset}: asking the teacher"
    shell:
        "promptdistill lookup --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --teacher {params.teacher} {params.regions} --shard-images {params.shard_images}"
        " --batch-size {CONFIG.lookup.batch_size} {params.machine} --workers {CONFIG.jobs.loader_workers} --output {params.folder} 2> {log}"
