# Boosting prompts, once a data set: they serve every method and every seed; kind boosted_transfer is for
# tests on other data sets.
rule boost:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        lookup=teacher_answers("boosting", "zero_shot"),
        stored=stored_regions("boosting"),
        weights=layout.weights(CONFIG.backbones.student),
        sources=layout.sources("boosting"),
    output:
        prompt=BOOSTING,
        history=f"{RESULTS}/boosting/{{dataset}}/{{kind}}.history.json",
    log:
        f"{RESULTS}/logs/boosting/{{dataset}}/{{kind}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/boosting/{{dataset}}/{{kind}}.tsv"
    wildcard_constraints:
        kind="boosted|boosted_transfer",
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(CONFIG.backbones.student),
        runtime=minutes(CONFIG.backbones.student, 20),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
    params:
        template=template,
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        lookup=subpath(input.lookup, parent=True),
        student=STUDENT,
        regions=region_flags("boosting"),
        stored=folder_flags("stored-regions", "stored"),
        hyperparameters=lambda wildcards: hyperparameters(wildcards, "boosting"),
    message:
        "{wildcards.dataset}: learning boosting prompts"
    shell:
        "promptdistill boost --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --lookup {params.lookup} --student {params.student} {params.regions}"
        " --hyperparameters {params.hyperparameters:q} {params.stored} --precision {params.precision}"
        " {params.machine} --workers {CONFIG.jobs.loader_workers} --output {output.prompt} 2> {log}"
