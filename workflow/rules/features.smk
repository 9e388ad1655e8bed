# Image features that no training changes, computed once: a teacher's of every training image and of few-shot
# draws, the student's of draws and of test images.
# Random regions of every training image, cut and resized once, if they fit into the disk allowed.
rule regions:
    input:
        unpack(needs(graph.StoredRegions)),
    output:
        # Shards lie beside the manifest and are not declared, so that a killed build keeps them.
        path(graph.StoredRegions),
    log:
        f"{RESULTS}/logs/regions/{{dataset}}/{{region_set}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regions/{{dataset}}/{{region_set}}.tsv"
    conda:
        CPU_ENV
    threads: max(1, CONFIG.jobs.loader_workers)
    resources:
        mem_mb=8000,
        runtime="6h",
        cpus_per_task=max(1, CONFIG.jobs.loader_workers),
    params:
        **job(graph.StoredRegions),
    message:
        "{wildcards.dataset}: cutting {wildcards.region_set} regions of each image"
    shell:
        "promptdistill regions {params.key} {CONFIGURATION} 2> {log:q}"


# One part of a data set's teacher lookup, where several jobs share it.
rule lookup_part:
    input:
        unpack(needs(graph.LookupPart)),
    output:
        touch(path(graph.LookupPart)),
    log:
        f"{RESULTS}/logs/lookup/{{dataset}}/{{teacher}}/{{region_set}}/{{part}}-of-{{parts}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lookup/{{dataset}}/{{teacher}}/{{region_set}}/{{part}}-of-{{parts}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        **model(TEACHER, hours=3),
    params:
        **job(graph.LookupPart),
    message:
        "{wildcards.dataset}: asking the {wildcards.teacher} teacher, part {wildcards.part} of {wildcards.parts}"
    shell:
        "promptdistill lookup-part {params.key} {CONFIGURATION} 2> {log:q}"


# The whole of a data set's teacher lookup: what the parts have not made, and the manifest.
rule lookup:
    input:
        unpack(needs(graph.Lookup)),
    output:
        path(graph.Lookup),
    log:
        f"{RESULTS}/logs/lookup/{{dataset}}/{{teacher}}/{{region_set}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lookup/{{dataset}}/{{teacher}}/{{region_set}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        **model(TEACHER, hours=3),
    params:
        **job(graph.Lookup),
    message:
        "{wildcards.dataset}: asking the {wildcards.teacher} teacher"
    shell:
        "promptdistill lookup {params.key} {CONFIGURATION} 2> {log:q}"


# The zero-shot teacher's answers for random regions of few-shot draws.
for group in EXPERIMENT.job_groups:

    rule:
        name:
            f"answers_{group.protocol}_{group.index}"
        input:
            unpack(needs(graph.DrawAnswers, group.runs)),
        output:
            of_runs(path(graph.DrawAnswers), group.runs),
        log:
            f"{RESULTS}/logs/features/{{dataset}}/answers/{{region_set}}/{{protocol}}/{group.index}.log",
        benchmark:
            f"{RESULTS}/benchmarks/features/{{dataset}}/answers/{{region_set}}/{{protocol}}/{group.index}.tsv"
        wildcard_constraints:
            protocol=group.protocol,
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            **model(TEACHER, hours=2 * len(group.runs)),
        params:
            **job(graph.DrawAnswers, group.runs),
        message:
            "{wildcards.dataset}: asking the zero-shot teacher about few-shot images"
        shell:
            "promptdistill answers {params.key} {CONFIGURATION} 2> {log:q}"


# The student's features of random regions of few-shot draws, plain or through the boosting prompt.
for group in EXPERIMENT.job_groups:

    rule:
        name:
            f"features_{group.protocol}_{group.index}"
        input:
            unpack(needs(graph.DrawFeatures, group.runs)),
        output:
            of_runs(path(graph.DrawFeatures), group.runs),
        log:
            f"{RESULTS}/logs/features/{{dataset}}/{{feature_kind}}/{{region_set}}/{{protocol}}/{group.index}.log",
        benchmark:
            f"{RESULTS}/benchmarks/features/{{dataset}}/{{feature_kind}}/{{region_set}}/{{protocol}}/{group.index}.tsv"
        wildcard_constraints:
            protocol=group.protocol,
        group:
            "encoding"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            **model(STUDENT, hours=2 * len(group.runs), turn=1),
        params:
            **job(graph.DrawFeatures, group.runs),
        message:
            "{wildcards.dataset}: encoding few-shot images, {wildcards.feature_kind}"
        shell:
            "promptdistill features {params.key} {CONFIGURATION} 2> {log:q}"


# The teacher's text features of a vocabulary, for class-agnostic training.
rule vocabulary:
    input:
        unpack(needs(graph.VocabularyText)),
    output:
        path(graph.VocabularyText),
    log:
        f"{RESULTS}/logs/features/vocabulary/{{vocabulary}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/vocabulary/{{vocabulary}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        **model(TEACHER, hours=1),
    params:
        **job(graph.VocabularyText),
    message:
        "the teacher's text features of the vocabulary {wildcards.vocabulary}"
    shell:
        "promptdistill vocabulary {params.key} {CONFIGURATION} 2> {log:q}"


# The student's features of the test images, plain or through the boosting prompt.
rule test_features:
    input:
        unpack(needs(graph.TestFeatures)),
    output:
        path(graph.TestFeatures),
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{feature_kind}}/test.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{dataset}}/{{feature_kind}}/test.tsv"
    group:
        "encoding"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        **model(STUDENT, hours=1, turn=1),
    params:
        **job(graph.TestFeatures),
    message:
        "{wildcards.dataset}: encoding test images, {wildcards.feature_kind}"
    shell:
        "promptdistill test-features {params.key} {CONFIGURATION} 2> {log:q}"
