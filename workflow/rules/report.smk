# Tables, plots, and what DVC and MLflow show of them.
def shown(file, name, table, plot):
    """A table and its plot, as the report shows them, each with its caption."""
    stem, labels = f"{RESULTS}/tables/{file}", {"table": name}
    html = report(f"{stem}.html", f"../report/{table}.rst", category="Tables", labels=labels)
    png = report(f"{stem}.png", f"../report/{plot}.rst", category="Plots", labels=labels)
    return [html, png]


# A table and its plot, from metrics alone.
rule table:
    input:
        unpack(needs(graph.Table)),
    output:
        *shown("{table}", "{table}", table="table", plot="plot"),
        multiext(
            f"{RESULTS}/tables/{{table}}", ".md", ".tex", ".csv", "_seeds.csv", "_gains.csv", "_record.json"
        ),
    log:
        f"{RESULTS}/logs/tables/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/{{table}}.tsv"
    conda:
        CPU_ENV
    params:
        **job(graph.Table),
    message:
        "writing the table {wildcards.table}"
    shell:
        "promptdistill table {params.key} {CONFIGURATION} 2> {log:q}"


# `snakemake few_shot` makes that table alone.
for table in EXPERIMENT.tables:

    rule:
        name:
            table
        input:
            f"{RESULTS}/{graph.Table(table).path}",


# A method beside its variants, and a plot of what each gains or loses.
rule ablation_table:
    input:
        unpack(needs(graph.AblationTable)),
    output:
        *shown("ablation_{method}", "ablation of {method}", table="ablation", plot="ablation"),
        multiext(f"{RESULTS}/tables/ablation_{{method}}", ".md", ".tex", ".csv", "_seeds.csv", "_record.json"),
    log:
        f"{RESULTS}/logs/tables/ablation_{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/ablation_{{method}}.tsv"
    conda:
        CPU_ENV
    params:
        **job(graph.AblationTable),
    message:
        "comparing {wildcards.method} with its variants"
    shell:
        "promptdistill ablation {params.key} {CONFIGURATION} 2> {log:q}"


rule ablation:
    input:
        [f"{RESULTS}/{graph.AblationTable(method).path}" for method in EXPERIMENT.ablations],


# The averages of all tables, for `dvc metrics` and `dvc plots`.
rule overview:
    input:
        unpack(needs(graph.Overview)),
    output:
        metrics=path(graph.Overview),
        plot=f"{RESULTS}/overview/averages.csv",
        used=f"{RESULTS}/{graph.USED_FILES}",
    log:
        f"{RESULTS}/logs/tables/overview.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/overview.tsv"
    conda:
        CPU_ENV
    params:
        **job(graph.Overview),
    message:
        "gathering the averages"
    shell:
        "promptdistill overview {CONFIGURATION} 2> {log:q}"


STORE = str(store_of(Path(RESULTS)))


# Results into MLflow. Jobs write files only; this one job, last, imports them: many jobs at once would
# break a new SQLite file, and Slurm's nodes may reach no server.
rule track:
    input:
        unpack(needs(graph.Tracking)),
    output:
        path(graph.Tracking),
    log:
        f"{RESULTS}/logs/tracking.log",
    benchmark:
        f"{RESULTS}/benchmarks/tracking.tsv"
    conda:
        CPU_ENV
    params:
        **job(graph.Tracking),
        # Another server or experiment is to be filled, too.
        store=lambda wildcards: STORE,  # a function, since an address may hold braces
    message:
        "importing the results into MLflow, {params.store}"
    shell:
        "promptdistill track {CONFIGURATION} 2> {log:q}"
