# Prompts: boosting prompts, tuned teachers, and every method's own.
# Boosting prompts, once a data set: they serve every method and every seed; boosted_transfer is for tests on
# other data sets.
rule boost:
    input:
        unpack(needs(graph.BoostingPrompt)),
    output:
        prompt=path(graph.BoostingPrompt),
        history=history(graph.BoostingPrompt),
    log:
        f"{RESULTS}/logs/boosting/{{dataset}}/{{boosting}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/boosting/{{dataset}}/{{boosting}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        **model(STUDENT, hours=20),
    params:
        **job(graph.BoostingPrompt),
    message:
        "{wildcards.dataset}: learning boosting prompts"
    shell:
        "promptdistill boost {params.key} {CONFIGURATION} 2> {log:q}"


# PromptKD's teacher: the larger model, tuned by PromptSRC on the few shots of the first seed.
rule tune_teacher:
    input:
        unpack(needs(graph.TeacherPrompt)),
    output:
        prompt=path(graph.TeacherPrompt),
        history=history(graph.TeacherPrompt),
    log:
        f"{RESULTS}/logs/teachers/{{protocol}}/{{dataset}}/{{method}}/{{shots}}/{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teachers/{{protocol}}/{{dataset}}/{{method}}/{{shots}}/{{seed}}.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        **model(TEACHER, hours=3),
    params:
        **job(graph.TeacherPrompt),
    message:
        "{wildcards.dataset}: tuning the teacher, {wildcards.protocol}"
    shell:
        "promptdistill tune-teacher {params.key} {CONFIGURATION} 2> {log:q}"


# One rule for each group of runs: jobs.runs_per_job says how many (shots, seed) a process trains.
for group in EXPERIMENT.job_groups:

    rule:
        name:
            f"adapt_{group.protocol}_{group.index}"
        input:
            unpack(needs(graph.Prompt, group.runs)),
        output:
            prompts=of_runs(path(graph.Prompt), group.runs),
            histories=of_runs(history(graph.Prompt), group.runs),
        log:
            f"{RESULTS}/logs/adapting/{{protocol}}/{{dataset}}/{{method}}/{group.index}.log",
        benchmark:
            f"{RESULTS}/benchmarks/adapting/{{protocol}}/{{dataset}}/{{method}}/{group.index}.tsv"
        wildcard_constraints:
            protocol=group.protocol,
        group:
            "training"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            **model(STUDENT, hours=6, turn=1),
        params:
            **job(graph.Prompt, group.runs),
        message:
            "{wildcards.dataset}: learning {wildcards.method}, {params.key}"
        shell:
            "promptdistill adapt {params.key} {CONFIGURATION} 2> {log:q}"
