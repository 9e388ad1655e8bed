# Image features that no training changes, computed once: a teacher's of every training image,
# the student's of few-shot draws and of test images.
LOOKUP_SIZES = f"--batch-size {CONFIG.lookup.batch_size} --shard-images {CONFIG.lookup.shard_images}"


# One part of a data set's teacher lookup, where several jobs share it.
rule lookup_part:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        prompt=teacher_prompt,
        stored=stored_regions_of_count,
        weights=layout.weights(CONFIG.backbones.teacher),
        sources=layout.sources("lookup"),
    output:
        touch(f"{LOOKUP}/parts/{{part}}-of-{{parts}}"),
    log:
        f"{RESULTS}/logs/lookup/{{dataset}}/{{teacher}}/{{crops}}regions/{{part}}-of-{{parts}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lookup/{{dataset}}/{{teacher}}/{{crops}}regions/{{part}}-of-{{parts}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(CONFIG.backbones.teacher),
        runtime=minutes(CONFIG.backbones.teacher, 3),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
    params:
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        folder=subpath(output[0], ancestor=2),
        teacher=TEACHER,
        prompt=lambda wildcards, input: layout.flags("prompt", _listed(input.get("prompt"))),
        regions=named_region_flags,
        sizes=LOOKUP_SIZES,
        dtype=CONFIG.lookup.dtype,
        stored=folder_flags("stored-regions", "stored"),
    message:
        "{wildcards.dataset}: asking the {wildcards.teacher} teacher, part {wildcards.part} of {wildcards.parts}"
    shell:
        "promptdistill lookup --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --teacher {params.teacher} {params.prompt} {params.regions} {params.stored} {params.sizes} --dtype {params.dtype} --precision {params.precision}"
        " --part {wildcards.part} --parts {wildcards.parts}"
        " {params.machine} --workers {CONFIG.jobs.loader_workers} --output {params.folder} 2> {log}"


# The whole of a data set's teacher lookup: what the parts have not made, and the manifest.
rule lookup:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        prompt=teacher_prompt,
        stored=stored_regions_of_count,
        parts=lookup_parts,
        weights=layout.weights(CONFIG.backbones.teacher),
        sources=layout.sources("lookup"),
    output:
        # Shards lie beside the manifest and are not declared, so that a killed build keeps them.
        f"{LOOKUP}/manifest.json",
    log:
        f"{RESULTS}/logs/lookup/{{dataset}}/{{teacher}}/{{crops}}regions.log",
    benchmark:
        f"{RESULTS}/benchmarks/lookup/{{dataset}}/{{teacher}}/{{crops}}regions.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(CONFIG.backbones.teacher),
        runtime=minutes(CONFIG.backbones.teacher, 3),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
    params:
        template=template,
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        folder=subpath(output[0], parent=True),
        teacher=TEACHER,
        prompt=lambda wildcards, input: layout.flags("prompt", _listed(input.get("prompt"))),
        regions=named_region_flags,
        sizes=LOOKUP_SIZES,
        dtype=CONFIG.lookup.dtype,
        stored=folder_flags("stored-regions", "stored"),
    message:
        "{wildcards.dataset}: asking the {wildcards.teacher} teacher"
    shell:
        "promptdistill lookup --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --teacher {params.teacher} {params.prompt} {params.regions} {params.stored} {params.sizes} --dtype {params.dtype} --precision {params.precision}"
        " {params.machine} --workers {CONFIG.jobs.loader_workers} --output {params.folder} 2> {log}"


# The student's features of random regions of few-shot draws, plain or through the boosting prompt.
for protocol, number, runs in configuration.batches(CONFIG):

    rule:
        name:
            f"features_{protocol}_{number}"
        input:
            split=f"{RESULTS}/splits/{{dataset}}/split.json",
            draws=of_runs(f"{RESULTS}/splits/{{dataset}}/{RUN}.json", runs),
            boosting=boosting_prompt_of_kind,
            weights=layout.weights(CONFIG.backbones.student),
            sources=layout.sources("features"),
        output:
            of_runs(f"{DRAW_FEATURES}/manifest.json", runs),
        log:
            f"{RESULTS}/logs/features/{{dataset}}/{{kind}}/{{crops}}regions/{{protocol}}/{number}.log",
        benchmark:
            f"{RESULTS}/benchmarks/features/{{dataset}}/{{kind}}/{{crops}}regions/{{protocol}}/{number}.tsv"
        wildcard_constraints:
            protocol=protocol,
        group:
            "encoding"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            mem_mb=memory(CONFIG.backbones.student),
            runtime=minutes(CONFIG.backbones.student, 2),
            cpus_per_task=CONFIG.jobs.threads,
            gpu=GPUS,
            turn=1,
        params:
            machine=MACHINE_FLAGS,
            precision=PRECISION,
            student=STUDENT,
            regions=named_region_flags,
            sizes=LOOKUP_SIZES,
            boosting=boosting_flag,
            draws=lambda wildcards, input: layout.flags("draw", input.draws),
            folders=lambda wildcards, output: layout.flags("output", [Path(p).parent for p in output]),
        message:
            "{wildcards.dataset}: encoding few-shot images, {wildcards.kind}"
        shell:
            "promptdistill features --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
            " --student {params.student} {params.boosting} {params.regions} --protocol {wildcards.protocol} {params.draws} {params.folders}"
            " {params.sizes} --precision {params.precision} {params.machine}"
            " --workers {CONFIG.jobs.loader_workers} 2> {log}"


# The student's features of the test images, plain or through the boosting prompt.
rule test_features:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        boosting=boosting_prompt_of_kind,
        weights=layout.weights(CONFIG.backbones.student),
        sources=layout.sources("lookup"),
    output:
        f"{TEST_FEATURES}/manifest.json",
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{kind}}/test.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{dataset}}/{{kind}}/test.tsv"
    group:
        "encoding"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(CONFIG.backbones.student),
        runtime=minutes(CONFIG.backbones.student, 1),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
        turn=1,
    params:
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        student=STUDENT,
        sizes=LOOKUP_SIZES,
        boosting=boosting_flag,
        folder=subpath(output[0], parent=True),
    message:
        "{wildcards.dataset}: encoding test images, {wildcards.kind}"
    shell:
        "promptdistill test-features --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --student {params.student} {params.boosting} {params.sizes} --precision {params.precision}"
        " {params.machine} --workers {CONFIG.jobs.loader_workers} --output {params.folder} 2> {log}"
