//! Promises about experiments, runs and logged models.

use edgeflow_core::{
    ModelName,
    dataset::{Dataset, DatasetInput},
    experiment::{EXPERIMENTS, Experiment, Lifecycle, NewExperiment, Pair, View},
    logged_model::{LOGGED_MODELS, LoggedModel, ModelOrder, ModelStatus, NewLoggedModel},
    model::{NewModelVersion, Origin},
    provenance::{PARENT_TAG, Via},
    run::{CONTEXT_TAG, LogBatch, Metric, ModelLink, NAME_TAG, NewMetric, NewRun, RUNS, Run, RunChange, RunStatus},
    search::{Filter, Order},
};

use super::fixtures::{org, other_org, version};
use crate::{ModelSearch, Slice, StoreError, Stores};

const ALL: Slice = Slice { offset: 0, limit: 1000 };

fn experiment(name: &str) -> NewExperiment {
    NewExperiment { name: name.into(), artifact_location: None, tags: vec![], created_ms: 10 }
}

fn new_run(id: &str, start_ms: i64) -> NewRun {
    let tags = vec![Pair::new(NAME_TAG, id.to_uppercase())];
    NewRun { id: id.into(), experiment: 0, name: id.to_uppercase(), user: "ada".into(), start_ms, tags }
}

fn metric(key: &str, step: i64, timestamp_ms: i64, value: f64) -> NewMetric {
    let metric = Metric { key: key.into(), value, timestamp_ms, step };
    NewMetric { metric, model_id: None, dataset_name: String::new(), dataset_digest: String::new() }
}

fn metrics(metrics: Vec<NewMetric>) -> LogBatch {
    LogBatch { metrics, ..LogBatch::default() }
}

fn params(pairs: &[(&str, &str)]) -> LogBatch {
    LogBatch { params: pairs.iter().map(|(key, value)| Pair::new(*key, *value)).collect(), ..LogBatch::default() }
}

fn input(name: &str, digest: &str, context: &str) -> DatasetInput {
    let (name, digest) = (name.to_owned(), digest.to_owned());
    let dataset = Dataset { name, digest, source_type: "local".into(), source: "{}".into(), schema: None, profile: Some("{}".into()) };
    DatasetInput { dataset, tags: vec![Pair::new(CONTEXT_TAG, context)] }
}

async fn default_experiment(stores: &Stores) {
    stores.experiments.ensure_default_experiment(&org(), 1).await.unwrap();
    stores.experiments.ensure_default_experiment(&org(), 2).await.unwrap();
}

async fn run(stores: &Stores, id: &str) -> Run {
    stores.runs.run(&org(), id).await.unwrap().unwrap()
}

/// Experiments: numbers, names, tags.
pub async fn experiments_are_numbered_named_once_and_tagged(stores: Stores) {
    default_experiment(&stores).await;
    let store = &stores.experiments;
    let default = store.experiment(&org(), 0).await.unwrap().unwrap();
    assert_eq!((default.name.as_str(), default.artifact_location.as_str(), default.created_ms), ("Default", "mlflow-artifacts:/0", 1));
    let tagged = NewExperiment { tags: vec![Pair::new("a", "1")], ..experiment("größe/x") };
    let first = store.create_experiment(&org(), &tagged).await.unwrap();
    assert_eq!((first.number, first.artifact_location.as_str()), (1, "mlflow-artifacts:/1"));
    assert_eq!(store.experiment(&org(), 1).await.unwrap(), Some(first.clone()));
    assert_eq!(store.experiment_by_name(&org(), "größe/x").await.unwrap(), Some(first));
    assert_eq!(store.experiment_by_name(&other_org(), "größe/x").await.unwrap(), None);
    let taken = store.create_experiment(&org(), &experiment("größe/x")).await.unwrap_err();
    assert!(matches!(taken, StoreError::Taken { what: "experiment", .. }), "{taken}");
    let located = NewExperiment { artifact_location: Some("s3://bucket/x".into()), ..experiment("b") };
    assert_eq!(store.create_experiment(&org(), &located).await.unwrap().artifact_location, "s3://bucket/x");
    store.set_experiment_tag(&org(), 1, &Pair::new("a", "2")).await.unwrap();
    store.set_experiment_tag(&org(), 1, &Pair::new("b", "3")).await.unwrap();
    store.delete_experiment_tag(&org(), 1, "b").await.unwrap();
    assert_eq!(store.experiment(&org(), 1).await.unwrap().unwrap().tags, [Pair::new("a", "2")]);
    let gone = store.delete_experiment_tag(&org(), 1, "b").await.unwrap_err();
    assert!(matches!(gone, StoreError::Missing { what: "tag", .. }), "{gone}");
    store.rename_experiment(&org(), 1, "c", 20).await.unwrap();
    assert!(matches!(store.rename_experiment(&org(), 1, "b", 21).await.unwrap_err(), StoreError::Taken { .. }));
    assert!(matches!(store.rename_experiment(&org(), 9, "d", 21).await.unwrap_err(), StoreError::Missing { .. }));
    let renamed = store.experiment(&org(), 1).await.unwrap().unwrap();
    assert_eq!((renamed.name.as_str(), renamed.updated_ms), ("c", 20));
}

/// A race for a name.
pub async fn a_race_for_an_experiments_name_has_one_winner(stores: Stores) {
    let races = (0..8).map(|_| {
        let store = stores.experiments.clone();
        tokio::spawn(async move { store.create_experiment(&org(), &experiment("wanted")).await.is_ok() })
    });
    let mut won = 0;
    for race in races.collect::<Vec<_>>() {
        won += u32::from(race.await.unwrap());
    }
    assert_eq!(won, 1);
}

/// Deleting and restoring.
pub async fn an_experiment_goes_and_comes_back_with_its_runs(stores: Stores) {
    default_experiment(&stores).await;
    stores.runs.create_run(&org(), &new_run("r1", 1)).await.unwrap();
    stores.runs.log(&org(), "r1", metrics(vec![metric("m", 0, 1, 1.0)])).await.unwrap();
    let set = async |lifecycle| stores.experiments.set_experiment_lifecycle(&org(), 0, lifecycle, 30).await;
    set(Lifecycle::Deleted).await.unwrap();
    assert!(matches!(set(Lifecycle::Deleted).await.unwrap_err(), StoreError::Refused(_)));
    assert_eq!(run(&stores, "r1").await.info.lifecycle, Lifecycle::Deleted);
    assert!(matches!(stores.runs.create_run(&org(), &new_run("r2", 1)).await.unwrap_err(), StoreError::Refused(_)));
    let late = stores.runs.log(&org(), "r1", metrics(vec![metric("m", 1, 1, 1.0)])).await.unwrap_err();
    assert!(matches!(late, StoreError::Refused(_)), "what the writer remembers of a run ends with it: {late}");
    assert!(matches!(stores.experiments.set_experiment_tag(&org(), 0, &Pair::new("a", "1")).await.unwrap_err(), StoreError::Refused(_)));
    for (view, expected) in [(View::Active, 0), (View::Deleted, 1), (View::All, 1)] {
        let found = stores.experiments.search_experiments(&org(), view, &Filter::default(), &[], ALL).await.unwrap();
        assert_eq!(found.len(), expected, "{view:?}");
    }
    stores.experiments.set_experiment_lifecycle(&org(), 0, Lifecycle::Active, 31).await.unwrap();
    assert_eq!(run(&stores, "r1").await.info.lifecycle, Lifecycle::Active);
    stores.runs.log(&org(), "r1", metrics(vec![metric("m", 1, 1, 1.0)])).await.unwrap();
}

/// Searching experiments.
pub async fn experiments_are_searched(stores: Stores) {
    for (name, created_ms, tag) in [("b", 1, Some("1")), ("a", 2, None), ("C", 3, Some("2"))] {
        let tags = tag.map(|value| Pair::new("x", value)).into_iter().collect();
        stores.experiments.create_experiment(&org(), &NewExperiment { created_ms, tags, ..experiment(name) }).await.unwrap();
    }
    let names = |found: Vec<Experiment>| found.into_iter().map(|experiment| experiment.name).collect::<String>();
    for (filter, orders, expected) in [
        ("", vec![], "Cab"),
        ("name = 'a'", vec![], "a"),
        ("name != 'a'", vec![], "Cb"),
        ("name LIKE 'c'", vec![], ""),
        ("name ILIKE 'c'", vec![], "C"),
        ("tags.x = '1'", vec![], "b"),
        ("tags.x != '1'", vec![], "C"),
        ("tags.x IS NULL", vec![], "a"),
        ("creation_time >= 2", vec!["creation_time"], "aC"),
        ("experiment_id IN ('1', '3')", vec!["experiment_id DESC"], "Cb"),
        ("", vec!["name DESC"], "baC"),
    ] {
        let filter_read = Filter::parse(filter, &EXPERIMENTS).unwrap();
        let orders = Order::parse_all(&orders, &EXPERIMENTS).unwrap();
        let found = stores.experiments.search_experiments(&org(), View::Active, &filter_read, &orders, ALL).await.unwrap();
        assert_eq!(names(found), expected, "{filter} {orders:?}");
    }
    let slice = Slice { offset: 1, limit: 1 };
    let found = stores.experiments.search_experiments(&org(), View::All, &Filter::default(), &[], slice).await.unwrap();
    assert_eq!(names(found), "a");
}

/// A run's life.
pub async fn a_run_is_begun_changed_and_ended(stores: Stores) {
    default_experiment(&stores).await;
    let begun = stores.runs.create_run(&org(), &new_run("r1", 100)).await.unwrap();
    assert_eq!(begun.info.artifact_uri, "mlflow-artifacts:/0/r1/artifacts");
    assert_eq!((begun.info.status, begun.info.end_ms, begun.info.name.as_str()), (RunStatus::Running, None, "R1"));
    assert_eq!(begun, run(&stores, "r1").await);
    assert!(matches!(
        stores.runs.create_run(&org(), &NewRun { experiment: 7, ..new_run("r2", 1) }).await.unwrap_err(),
        StoreError::Missing { what: "experiment", .. }
    ));
    let change = RunChange { status: Some(RunStatus::Finished), end_ms: Some(200), name: Some("new".into()) };
    let ended = stores.runs.update_run(&org(), "r1", &change).await.unwrap();
    assert_eq!((ended.status, ended.end_ms, ended.name.as_str()), (RunStatus::Finished, Some(200), "new"));
    assert_eq!(run(&stores, "r1").await.tags, [Pair::new(NAME_TAG, "new")]);
    assert_eq!(stores.runs.update_run(&org(), "r1", &RunChange::default()).await.unwrap(), ended);
    let tags = LogBatch { tags: vec![Pair::new("t", "1"), Pair::new("t", "2"), Pair::new(NAME_TAG, "again")], ..LogBatch::default() };
    stores.runs.log(&org(), "r1", tags).await.unwrap();
    assert_eq!(run(&stores, "r1").await.info.name, "again");
    stores.runs.delete_run_tag(&org(), "r1", "t").await.unwrap();
    assert!(matches!(stores.runs.delete_run_tag(&org(), "r1", "t").await.unwrap_err(), StoreError::Missing { what: "tag", .. }));
    stores.runs.set_run_lifecycle(&org(), "r1", Lifecycle::Deleted).await.unwrap();
    stores.runs.set_run_lifecycle(&org(), "r1", Lifecycle::Deleted).await.unwrap();
    for refused in [
        stores.runs.update_run(&org(), "r1", &change).await.map(drop),
        stores.runs.log(&org(), "r1", metrics(vec![metric("m", 0, 0, 0.0)])).await,
        stores.runs.log(&org(), "r1", params(&[("a", "1")])).await,
        stores.runs.delete_run_tag(&org(), "r1", NAME_TAG).await,
    ] {
        assert!(matches!(refused.unwrap_err(), StoreError::Refused(_)));
    }
    stores.runs.set_run_lifecycle(&org(), "r1", Lifecycle::Active).await.unwrap();
    assert_eq!(run(&stores, "r1").await.info.lifecycle, Lifecycle::Active);
    assert!(matches!(stores.runs.set_run_lifecycle(&org(), "no", Lifecycle::Active).await.unwrap_err(), StoreError::Missing { .. }));
    assert_eq!(stores.runs.run(&other_org(), "r1").await.unwrap(), None);
}

/// Metrics.
pub async fn metrics_are_kept_once_and_the_latest_is_by_step_time_and_value(stores: Stores) {
    default_experiment(&stores).await;
    stores.runs.create_run(&org(), &new_run("r1", 1)).await.unwrap();
    let log = async |new: Vec<NewMetric>| stores.runs.log(&org(), "r1", metrics(new)).await;
    log(vec![metric("m", 1, 10, 1.5), metric("m", 1, 9, 2.5), metric("m", 1, 10, 0.5)]).await.unwrap();
    // A retry, whole and in part.
    log(vec![metric("m", 1, 10, 1.5), metric("m", 1, 9, 2.5), metric("m", 1, 10, 0.5)]).await.unwrap();
    log(vec![metric("m", 1, 9, 2.5)]).await.unwrap();
    log(vec![metric("m", -1, 11, 0.25)]).await.unwrap();
    let values = |history: Vec<Metric>| history.into_iter().map(|m| (m.step, m.timestamp_ms, m.value)).collect::<Vec<_>>();
    let history = stores.runs.metric_history(&org(), "r1", "m", ALL).await.unwrap();
    assert_eq!(values(history), [(1, 9, 2.5), (1, 10, 0.5), (1, 10, 1.5), (-1, 11, 0.25)]);
    assert_eq!(values(run(&stores, "r1").await.metrics), [(1, 10, 1.5)]);
    let second = stores.runs.metric_history(&org(), "r1", "m", Slice { offset: 1, limit: 2 }).await.unwrap();
    assert_eq!(values(second), [(1, 10, 0.5), (1, 10, 1.5)]);
    // What is no ordinary number goes in and comes out. As the latest, NaN counts as 0.
    for (key, first, second, latest) in [
        ("inf", 1.0, f64::INFINITY, f64::INFINITY),
        ("ninf", 1.0, f64::NEG_INFINITY, 1.0),
        ("nan-5", -5.0, f64::NAN, f64::NAN),
        ("nan5", 5.0, f64::NAN, 5.0),
        ("nan", f64::NAN, -5.0, f64::NAN),
        ("zero", -0.0, 0.0, 0.0),
    ] {
        log(vec![metric(key, 0, 1, first)]).await.unwrap();
        log(vec![metric(key, 0, 1, second)]).await.unwrap();
        let kept = run(&stores, "r1").await.metrics.into_iter().find(|metric| metric.key == key).unwrap().value;
        assert!(kept == latest || kept.is_nan() && latest.is_nan(), "{key}: {kept}");
    }
    let nan = stores.runs.metric_history(&org(), "r1", "nan", ALL).await.unwrap();
    assert!(nan.len() == 2 && nan[0].value == -5.0 && nan[1].value.is_nan(), "{nan:?}");
    assert!(stores.runs.metric_history(&org(), "no", "m", ALL).await.unwrap().is_empty());
    assert!(matches!(
        stores.runs.log(&org(), "no", metrics(vec![metric("m", 0, 0, 0.0)])).await.unwrap_err(),
        StoreError::Missing { what: "run", .. }
    ));
}

/// Metrics, many at once.
pub async fn metrics_of_many_clients_are_all_kept(stores: Stores) {
    default_experiment(&stores).await;
    for at in 0..4 {
        stores.runs.create_run(&org(), &new_run(&format!("r{at}"), 1)).await.unwrap();
    }
    // Sizes on both sides of those that statements have.
    let clients = (0..16_i64).map(|client| {
        let store = stores.runs.clone();
        tokio::spawn(async move {
            let id = format!("r{}", client % 4);
            for (round, size) in [1, 3, 99, 101, 1000, 1001, 2].into_iter().enumerate() {
                let from = client * 100_000 + round as i64 * 10_000;
                let new = (0..size).map(|at| metric("m", from + at, at, at as f64)).collect();
                store.log(&org(), &id, metrics(new)).await.unwrap();
            }
            // One that is refused leaves its neighbours alone.
            assert!(store.log(&org(), "nobody", metrics(vec![metric("m", 0, 0, 0.0)])).await.is_err());
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let mut total = 0;
    for at in 0..4_i64 {
        let id = format!("r{at}");
        total += stores.runs.metric_history(&org(), &id, "m", Slice { offset: 0, limit: 100_000 }).await.unwrap().len();
        assert_eq!(run(&stores, &id).await.metrics[0].step, (12 + at) * 100_000 + 60_001);
    }
    assert_eq!(total, 16 * 2207);
}

/// Metrics, thinned out.
pub async fn a_metric_of_several_runs_is_read_at_steps(stores: Stores) {
    default_experiment(&stores).await;
    for (id, steps) in [("r1", 0..10), ("r2", 5..15)] {
        stores.runs.create_run(&org(), &new_run(id, 1)).await.unwrap();
        let new = steps.flat_map(|step| [metric("m", step, 1, 1.0), metric("m", step, 2, step as f64)]).collect();
        stores.runs.log(&org(), id, metrics(new)).await.unwrap();
    }
    let ids = ["r1".to_owned(), "r2".to_owned()];
    assert_eq!(stores.runs.metric_steps(&org(), &ids, "m", (i64::MIN, i64::MAX)).await.unwrap(), (0..15).collect::<Vec<_>>());
    assert_eq!(stores.runs.metric_steps(&org(), &ids[..1], "m", (3, 5)).await.unwrap(), [3, 4, 5]);
    let found = stores.runs.metric_at_steps(&org(), &ids, "m", &[2, 7, 12]).await.unwrap();
    let found: Vec<_> = found.iter().map(|(id, metric)| (id.as_str(), metric.step, metric.value)).collect();
    assert_eq!(found, [("r1", 2, 2.0), ("r1", 7, 7.0), ("r2", 7, 7.0), ("r2", 12, 12.0)]);
}

/// Parameters.
pub async fn a_parameter_never_changes_and_a_refused_batch_leaves_nothing(stores: Stores) {
    default_experiment(&stores).await;
    stores.runs.create_run(&org(), &new_run("r1", 1)).await.unwrap();
    stores.runs.log(&org(), "r1", params(&[("a", "1"), ("b", "2")])).await.unwrap();
    stores.runs.log(&org(), "r1", params(&[("a", "1")])).await.unwrap();
    let mut batch = params(&[("c", "3"), ("a", "9")]);
    batch.metrics.push(metric("m", 0, 0, 1.0));
    batch.tags.push(Pair::new("t", "1"));
    let refused = stores.runs.log(&org(), "r1", batch).await.unwrap_err();
    assert!(refused.to_string().contains("\"a\"") && refused.to_string().contains("\"9\""), "{refused}");
    let kept = run(&stores, "r1").await;
    assert_eq!(kept.params, [Pair::new("a", "1"), Pair::new("b", "2")]);
    assert!(kept.metrics.is_empty() && kept.tags.len() == 1, "{kept:?}");
}

/// Inputs and outputs.
pub async fn what_went_in_and_came_out_is_kept_once(stores: Stores) {
    default_experiment(&stores).await;
    for id in ["r1", "r2"] {
        stores.runs.create_run(&org(), &new_run(id, 1)).await.unwrap();
    }
    let link = |id: &str, step| ModelLink { model_id: id.into(), step };
    stores.runs.log_inputs(&org(), "r1", &[input("d2", "x", "train"), input("d1", "y", "eval")], &[link("m-1", 0)]).await.unwrap();
    stores.runs.log_inputs(&org(), "r1", &[input("d2", "x", "again"), input("d2", "z", "train")], &[link("m-1", 0)]).await.unwrap();
    stores.runs.log_inputs(&org(), "r2", &[input("d2", "x", "eval")], &[]).await.unwrap();
    stores.runs.log_outputs(&org(), "r1", &[link("m-2", 3), link("m-3", 4)]).await.unwrap();
    stores.runs.log_outputs(&org(), "r1", &[link("m-2", 9)]).await.unwrap();
    let kept = run(&stores, "r1").await;
    assert_eq!(kept.datasets, [input("d2", "x", "train"), input("d1", "y", "eval"), input("d2", "z", "train")]);
    assert_eq!((kept.model_inputs, kept.model_outputs), (vec![link("m-1", 0)], vec![link("m-2", 3), link("m-3", 4)]));
    assert_eq!(run(&stores, "r2").await.datasets, [input("d2", "x", "eval")]);
    let summaries = stores.runs.datasets(&org(), &[0], 100).await.unwrap();
    let summaries: Vec<_> =
        summaries.iter().map(|d| (d.name.as_str(), d.digest.as_str(), d.context.as_deref().unwrap_or_default())).collect();
    assert_eq!(summaries, [("d1", "y", "eval"), ("d2", "x", "eval"), ("d2", "x", "train"), ("d2", "z", "train")]);
    assert!(matches!(stores.runs.log_outputs(&org(), "no", &[]).await.unwrap_err(), StoreError::Missing { .. }));
}

/// Provenance: from a dataset through runs to versions, and back.
pub async fn versions_come_from_datasets_through_runs(stores: Stores) {
    default_experiment(&stores).await;
    let (runs, link) = (&stores.runs, |id: &str| ModelLink { model_id: id.into(), step: 0 });
    for id in ["base", "judge", "parent", "tuned", "child"] {
        runs.create_run(&org(), &new_run(id, 1)).await.unwrap();
    }
    // base is trained on x and makes m-base; tuned takes that in, is a child of parent, which was given y, and makes m-tuned, by its word.
    runs.log_inputs(&org(), "base", &[input("d", "x", "training")], &[]).await.unwrap();
    let made = NewLoggedModel { source_run_id: "base".into(), ..new_model("base", 1) };
    stores.logged_models.create_logged_model(&org(), &made).await.unwrap();
    runs.log_inputs(&org(), "parent", &[input("e", "y", "")], &[]).await.unwrap();
    runs.log_inputs(&org(), "tuned", &[input("v", "z", "Validation")], &[link("m-base")]).await.unwrap();
    runs.log_outputs(&org(), "tuned", &[link("m-tuned")]).await.unwrap();
    let parent = LogBatch { tags: vec![Pair::new(PARENT_TAG, "parent")], ..LogBatch::default() };
    runs.log(&org(), "tuned", parent).await.unwrap();
    // Runs in a circle end somewhere.
    runs.log_inputs(&org(), "base", &[], &[link("m-tuned")]).await.unwrap();
    runs.log_inputs(&org(), "judge", &[input("d", "x", "eval")], &[link("m-x")]).await.unwrap();
    let register = |content: &str, run: Option<&str>, model: Option<&str>| {
        let origin = Origin { run_id: run.map(Into::into), model_id: model.map(Into::into), ..Origin::default() };
        let new = NewModelVersion { origin, ..version("reader", content) };
        let models = stores.models.clone();
        async move { models.create_model_version(&org(), &new).await.unwrap().0 }
    };
    let one = register("one", Some("base"), Some("m-base")).await;
    register("two", Some("tuned"), None).await;
    register("three", None, Some("m-tuned")).await;
    register("four", Some("judge"), None).await;
    register("five", None, None).await;
    let made_from = |digest: &'static str| {
        let provenance = stores.provenance.clone();
        async move { provenance.made_from(&org(), digest).await.unwrap().into_iter().map(|one| one.version).collect::<Vec<_>>() }
    };
    assert_eq!(made_from("x").await, ["1", "2", "3"], "judged by it is not trained on it");
    assert_eq!(made_from("y").await, ["1", "2", "3"], "what its parent was given a run was given, and here they go in a circle");
    assert!(made_from("z").await.is_empty() && made_from("nothing").await.is_empty());
    let ancestors = stores.provenance.ancestors(&org(), "tuned", 10).await.unwrap();
    assert_eq!(ancestors[0], ("tuned".to_owned(), Via::Made));
    assert_eq!(ancestors.len(), 3, "{ancestors:?}");
    assert!(ancestors.contains(&("base".to_owned(), Via::Model)) && ancestors.contains(&("parent".to_owned(), Via::Parent)));
    assert_eq!(stores.provenance.ancestors(&org(), "tuned", 1).await.unwrap().len(), 1);
    assert!(stores.provenance.ancestors(&org(), "nobody", 10).await.unwrap().is_empty());
    let trained_on = |digest: &'static str, limit: u32| {
        let provenance = stores.provenance.clone();
        async move { provenance.trained_on(&org(), digest, limit).await.unwrap() }
    };
    let mut runs = trained_on("y", 10).await;
    runs.sort_unstable();
    assert_eq!(runs, ["base", "parent", "tuned"]);
    assert_eq!((trained_on("x", 1).await.len(), trained_on("z", 10).await.len()), (1, 0));
    let digest = one.registered.bundle.unwrap().digest;
    let registered = |organisation| {
        let (provenance, digest) = (stores.provenance.clone(), digest.clone());
        async move { provenance.registered(&organisation, &[digest]).await.unwrap() }
    };
    let [known] = &registered(org()).await[..] else { panic!("one version") };
    assert_eq!((known.version.as_str(), known.run_id.as_deref(), known.deleted), ("1", Some("base"), false));
    stores.models.delete_model_version(&org(), &ModelName::new("reader").unwrap(), 1, 9).await.unwrap();
    assert!(registered(org()).await[0].deleted, "a robot may have run it");
    let [(whole, true)] = &stores.provenance.bundle_versions(&org(), &digest).await.unwrap()[..] else { panic!("one, deleted") };
    assert_eq!((whole.number, whole.registered.origin.run_id.as_deref(), whole.registered.bundle.is_some()), (1, Some("base"), true));
    assert!(stores.provenance.bundle_versions(&other_org(), &digest).await.unwrap().is_empty());
    assert!(registered(other_org()).await.is_empty());
}

/// Searching runs: the answers are those of MLflow's own server on the same runs.
pub async fn runs_are_searched_and_sorted(stores: Stores) {
    default_experiment(&stores).await;
    let runs = &stores.runs;
    let of = |key: &str, value: f64| metric(key, 0, 5, value);
    type Row<'a> = (&'a str, i64, Vec<NewMetric>, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], Option<RunStatus>, Vec<DatasetInput>);
    let rows: [Row<'_>; 6] = [
        (
            "a",
            100,
            vec![of("m", 1.0), of("a b", 2.0)],
            &[("p", "x"), ("lr", "0.1")],
            &[("t", "Hello"), ("k.x", "v")],
            Some(RunStatus::Finished),
            vec![input("d1", "aa", "train")],
        ),
        (
            "b",
            200,
            vec![of("m", 2.0), of("n", f64::NAN)],
            &[("p", "y"), ("lr", "0.01")],
            &[("t", "hello")],
            Some(RunStatus::Failed),
            vec![input("d2", "bb", "eval"), input("d1", "aa", "train")],
        ),
        ("c", 300, vec![of("m", f64::NAN)], &[("p", "X")], &[], None, vec![]),
        ("d", 300, vec![of("m", f64::INFINITY)], &[("p", "z%")], &[("t", "it's")], Some(RunStatus::Killed), vec![]),
        ("e", 400, vec![of("m", f64::NEG_INFINITY), of("n", 1.0)], &[], &[("t", "")], Some(RunStatus::Scheduled), vec![]),
        ("f", 50, vec![], &[("lr", "10")], &[("t", "é")], Some(RunStatus::Finished), vec![input("d1", "cc", "train")]),
    ];
    for (id, start_ms, metrics, params, tags, status, datasets) in rows {
        runs.create_run(&org(), &new_run(id, start_ms)).await.unwrap();
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| Pair::new(*key, *value)).collect();
        runs.log(&org(), id, LogBatch { metrics, params: pairs(params), tags: pairs(tags) }).await.unwrap();
        if let Some(status) = status {
            let change = RunChange { status: Some(status), end_ms: Some(start_ms + 10), name: None };
            runs.update_run(&org(), id, &change).await.unwrap();
        }
        runs.log_inputs(&org(), id, &datasets, &[]).await.unwrap();
    }
    let found = async |filter: &str, orders: &[&str], slice: Slice| {
        let filter = Filter::parse(filter, &RUNS).unwrap();
        let orders = Order::parse_all(orders, &RUNS).unwrap();
        let found = runs.search_runs(&org(), &[0], View::Active, &filter, &orders, slice).await.unwrap();
        found.into_iter().map(|run| run.info.id).collect::<String>()
    };
    for (filter, expected) in [
        ("", "ecdbaf"),
        ("metrics.m > 1", "db"),
        ("metrics.m >= 1", "dba"),
        ("metrics.m != 1", "ecdb"),
        ("metrics.m < 2", "ea"),
        ("metrics.m <= 0", "e"),
        ("metrics.m > 1e307", "d"),
        ("metrics.`a b` = 2", "a"),
        ("metrics.n = 0", ""),
        ("metrics.n != 5", "eb"),
        ("params.p != 'x'", "cdb"),
        ("params.p LIKE 'x'", "a"),
        ("params.p ILIKE 'x'", "ca"),
        ("params.p LIKE '_'", "cba"),
        ("params.p LIKE 'z%'", "d"),
        ("params.p IS NULL", "ef"),
        ("params.p IS NOT NULL", "cdba"),
        ("params.p NOT IN ('x', 'y')", "cd"),
        ("tags.t = \"it's\"", "d"),
        ("tags.t = ''", "e"),
        ("tags.nope IS NULL", "ecdbaf"),
        ("tags.k.x = 'v'", "a"),
        ("status != 'FINISHED'", "ecdb"),
        ("attribute.status LIKE 'F%'", "baf"),
        ("start_time <= 300", "cdbaf"),
        ("end_time > 100", "edba"),
        ("run_name ILIKE 'a'", "a"),
        ("datasets.name = 'd1'", "baf"),
        ("datasets.digest NOT IN ('aa')", "bf"),
        ("datasets.name = 'd2' AND datasets.context = 'train'", "b"),
        ("datasets.context != 'train'", "b"),
        ("params.p != 'x' AND params.p != 'y'", "cd"),
        ("metrics.m > 0 AND params.p = 'x'", "a"),
        ("tags.t = 'x'' OR 1=1 --'", ""),
    ] {
        assert_eq!(found(filter, &[], ALL).await, expected, "{filter}");
    }
    for (orders, expected) in [
        (&["metrics.m"][..], "eabdcf"),
        (&["metrics.m DESC"], "dbaecf"),
        (&["metrics.n DESC"], "ebcdaf"),
        (&["params.p"], "cabdef"),
        (&["params.p DESC"], "dbacef"),
        (&["tags.t DESC"], "fdbaec"),
        (&["start_time"], "fabcde"),
        (&["end_time DESC"], "edbafc"),
        (&["status DESC", "run_name DESC"], "ecdfab"),
        (&["user_id"], "ecdbaf"),
    ] {
        assert_eq!(found("", orders, ALL).await, expected, "{orders:?}");
    }
    assert_eq!(found("", &["run_name"], Slice { offset: 2, limit: 3 }).await, "cde");
    runs.set_run_lifecycle(&org(), "a", Lifecycle::Deleted).await.unwrap();
    assert_eq!(found("params.p = 'x'", &[], ALL).await, "");
    let deleted = runs.search_runs(&org(), &[0], View::Deleted, &Filter::default(), &[], ALL).await.unwrap();
    assert_eq!(deleted.len(), 1);
    assert!(runs.search_runs(&other_org(), &[0], View::All, &Filter::default(), &[], ALL).await.unwrap().is_empty());
    assert!(runs.search_runs(&org(), &[1], View::All, &Filter::default(), &[], ALL).await.unwrap().is_empty());
}

fn new_model(name: &str, created_ms: i64) -> NewLoggedModel {
    NewLoggedModel {
        id: format!("m-{name}"),
        experiment: 0,
        name: name.to_owned(),
        model_type: format!("type-{name}"),
        source_run_id: "r1".into(),
        params: vec![Pair::new("p", name)],
        tags: vec![Pair::new("k", "v")],
        created_ms,
    }
}

/// A logged model's life.
pub async fn a_logged_model_is_made_finalized_and_deleted(stores: Stores) {
    default_experiment(&stores).await;
    let store = &stores.logged_models;
    let made = store.create_logged_model(&org(), &new_model("a", 5)).await.unwrap();
    assert_eq!((made.status, made.artifact_uri.as_str()), (ModelStatus::Pending, "mlflow-artifacts:/0/models/m-a/artifacts"));
    assert_eq!(store.logged_model(&org(), "m-a").await.unwrap(), Some(made));
    assert_eq!(store.logged_model(&other_org(), "m-a").await.unwrap(), None);
    assert!(store.create_logged_model(&org(), &NewLoggedModel { experiment: 9, ..new_model("b", 5) }).await.is_err());
    let ready = store.finalize_logged_model(&org(), "m-a", ModelStatus::Ready, "", 9).await.unwrap();
    assert_eq!((ready.status, ready.updated_ms), (ModelStatus::Ready, 9));
    store.set_logged_model_tags(&org(), "m-a", &[Pair::new("k", "w"), Pair::new("l", "1")]).await.unwrap();
    store.delete_logged_model_tag(&org(), "m-a", "l").await.unwrap();
    assert!(matches!(store.delete_logged_model_tag(&org(), "m-a", "l").await.unwrap_err(), StoreError::Missing { what: "tag", .. }));
    store.log_logged_model_params(&org(), "m-a", &[Pair::new("q", "1"), Pair::new("p", "a")]).await.unwrap();
    assert!(store.log_logged_model_params(&org(), "m-a", &[Pair::new("r", "1"), Pair::new("p", "z")]).await.is_err());
    let now = store.logged_model(&org(), "m-a").await.unwrap().unwrap();
    assert_eq!((now.tags, now.params), (vec![Pair::new("k", "w")], vec![Pair::new("p", "a"), Pair::new("q", "1")]));
    store.delete_logged_model(&org(), "m-a", 10).await.unwrap();
    assert_eq!(store.logged_model(&org(), "m-a").await.unwrap().unwrap().lifecycle, Lifecycle::Deleted);
    let gone = store.finalize_logged_model(&org(), "m-a", ModelStatus::Ready, "", 11).await.unwrap_err();
    assert!(matches!(gone, StoreError::Missing { what: "logged model", .. }), "{gone}");
    assert!(store.delete_logged_model(&org(), "m-x", 10).await.is_err());
}

/// Searching logged models by what was measured of them.
pub async fn logged_models_are_searched_by_what_was_measured(stores: Stores) {
    default_experiment(&stores).await;
    stores.runs.create_run(&org(), &new_run("r1", 1)).await.unwrap();
    for (at, name) in (0..).zip(["a", "b", "c"]) {
        stores.logged_models.create_logged_model(&org(), &new_model(name, at)).await.unwrap();
    }
    let of = |model: &str, value, step, dataset: &str| NewMetric {
        model_id: Some(format!("m-{model}")),
        dataset_name: dataset.into(),
        dataset_digest: if dataset.is_empty() { String::new() } else { format!("{dataset}-digest") },
        ..metric("acc", step, 1, value)
    };
    let batch = vec![of("a", 0.5, 0, "d1"), of("a", 0.9, 1, "d1"), of("a", 0.1, 0, "d2"), of("b", 0.7, 0, "d1"), of("b", 0.2, 5, "")];
    stores.runs.log(&org(), "r1", metrics(batch.clone())).await.unwrap();
    // With a parameter beside them they take another way to the same place.
    stores.runs.log(&org(), "r1", LogBatch { metrics: batch, ..params(&[("x", "1")]) }).await.unwrap();
    let unknown = stores.runs.log(&org(), "r1", metrics(vec![of("nobody", 1.0, 0, "")])).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Missing { what: "logged model", .. }), "{unknown}");
    let names = |found: Vec<LoggedModel>| found.into_iter().map(|model| model.name).collect::<String>();
    let search = async |filter: &str, datasets: &[(&str, Option<&str>)], order: Option<(&str, Option<&str>)>| {
        let own = |(name, digest): (&str, Option<&str>)| (name.to_owned(), digest.map(str::to_owned));
        let order = order.map(|(order, dataset)| ModelOrder {
            order: Order::parse(order, &LOGGED_MODELS).unwrap(),
            dataset: dataset.map(|name| own((name, None))),
        });
        let search = ModelSearch {
            experiments: vec![0],
            filter: Filter::parse(filter, &LOGGED_MODELS).unwrap(),
            datasets: datasets.iter().copied().map(own).collect(),
            orders: order.into_iter().collect(),
        };
        names(stores.logged_models.search_logged_models(&org(), &search, ALL).await.unwrap())
    };
    assert_eq!(search("", &[], None).await, "cba");
    assert_eq!(search("name IN ('a', 'b') AND params.p != 'b' AND tags.k = 'v'", &[], None).await, "a");
    assert_eq!(search("metrics.acc >= .5", &[], None).await, "ba");
    assert_eq!(search("metrics.acc < .3", &[("d1", None)], None).await, "");
    assert_eq!(search("metrics.acc < .3", &[("d1", None), ("d2", Some("d2-digest"))], None).await, "a");
    assert_eq!(search("metrics.acc < .3", &[("d2", Some("other"))], None).await, "");
    assert_eq!(search("name LIKE '%'", &[("d2", None)], None).await, "a");
    assert_eq!(search("status = 'PENDING' AND creation_timestamp > 0", &[], None).await, "cb");
    assert_eq!(search("", &[], Some(("metrics.acc", None))).await, "bac");
    assert_eq!(search("", &[], Some(("metrics.acc DESC", Some("d1")))).await, "abc");
    assert_eq!(search("", &[], Some(("name", None))).await, "abc");
    let a = stores.logged_models.logged_model(&org(), "m-a").await.unwrap().unwrap();
    assert_eq!(a.metrics.len(), 3);
    assert_eq!((a.metrics[0].run_id.as_str(), a.metrics[0].dataset_name.is_empty()), ("r1", false));
    stores.logged_models.delete_logged_model(&org(), "m-b", 9).await.unwrap();
    assert_eq!(search("", &[], None).await, "ca");
}
