//! Promises about models and the audit trail.

use edgeflow_core::{
    ModelName,
    audit::NewAudit,
    model::{Model, ModelChange, Stage, VersionChange},
};

use super::fixtures::{bare_version, org, other_org, version};
use crate::{ModelStore, StoreError, Stores};

fn name(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

fn model(text: &str) -> Model {
    let tags = [("kind".to_owned(), text.to_owned())].into();
    Model { description: format!("the {text}"), tags, ..Model::new(name(text), 4, "administrator".into()) }
}

/// Models.
pub async fn models_are_made_once_and_listed_by_name(stores: Stores) {
    let models = stores.models;
    for text in ["b", "a", "c"] {
        models.create_model(&org(), &model(text)).await.unwrap();
    }
    let taken = models.create_model(&org(), &model("a")).await.unwrap_err();
    assert!(matches!(&taken, StoreError::Taken { what: "model", name } if name == "a"), "{taken}");
    models.create_model(&other_org(), &model("a")).await.unwrap();
    assert_eq!(models.model(&org(), &name("b")).await.unwrap(), Some(model("b")));
    assert_eq!(models.model(&other_org(), &name("b")).await.unwrap(), None);
    let names = |list: Vec<Model>| list.into_iter().map(|model| model.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(models.models(&org(), None, 2).await.unwrap()), ["a", "b"]);
    assert_eq!(names(models.models(&org(), Some("b"), 2).await.unwrap()), ["c"]);
}

async fn change(models: &dyn ModelStore, of: &str, change: ModelChange, at_us: i64) -> Result<Model, StoreError> {
    models.change_model(&org(), &name(of), &change, at_us).await
}

/// What is said about models.
pub async fn models_are_described_tagged_and_renamed(stores: Stores) {
    let models = &*stores.models;
    for text in ["a", "b"] {
        models.create_model(&org(), &model(text)).await.unwrap();
    }
    models.create_model_version(&org(), &version("a", "one")).await.unwrap();
    let tag = |key: &str, value: Option<&str>| ModelChange::Tag(key.into(), value.map(str::to_owned));
    change(models, "a", ModelChange::Description("new".into()), 10).await.unwrap();
    change(models, "a", tag("size", Some("s")), 11).await.unwrap();
    change(models, "a", tag("size", Some("m")), 12).await.unwrap();
    change(models, "a", tag("kind", None), 13).await.unwrap();
    let changed = change(models, "a", tag("gone", None), 14).await.unwrap();
    assert_eq!((changed.description.as_str(), changed.tags.len(), changed.tags["size"].as_str()), ("new", 1, "m"));
    assert_eq!((changed.created_at_us, changed.updated_at_us), (4, 14));
    assert_eq!(models.model(&org(), &name("a")).await.unwrap(), Some(changed));

    let taken = change(models, "a", ModelChange::Name(name("b")), 15).await.unwrap_err();
    assert!(matches!(taken, StoreError::Taken { what: "model", .. }), "{taken}");
    change(models, "a", ModelChange::Name(name("a")), 15).await.unwrap();
    let renamed = change(models, "a", ModelChange::Name(name("z")), 16).await.unwrap();
    assert_eq!(renamed.name, name("z"));
    assert_eq!(models.model(&org(), &name("a")).await.unwrap(), None);
    let version = models.model_version(&org(), &name("z"), 1).await.unwrap().unwrap();
    assert_eq!(version.registered.model, name("z"), "its versions go with it");
    for missing in [ModelChange::Description("x".into()), ModelChange::Name(name("y")), tag("a", None)] {
        let error = change(models, "a", missing, 17).await.unwrap_err();
        assert!(matches!(error, StoreError::Missing { what: "model", .. }), "{error}");
    }
}

/// Aliases.
pub async fn an_alias_stands_for_one_version_and_goes_with_it(stores: Stores) {
    let models = &*stores.models;
    for content in ["one", "two"] {
        models.create_model_version(&org(), &version("m", content)).await.unwrap();
    }
    let alias = |alias: &str, number| ModelChange::Alias(alias.into(), number);
    change(models, "m", alias("champion", Some(1)), 5).await.unwrap();
    change(models, "m", alias("shadow", Some(2)), 6).await.unwrap();
    let known = change(models, "m", alias("champion", Some(2)), 7).await.unwrap();
    assert_eq!(known.aliases.into_iter().collect::<Vec<_>>(), [("champion".to_owned(), 2), ("shadow".to_owned(), 2)]);
    let versions = models.model_versions(&org(), Some(&name("m"))).await.unwrap();
    assert_eq!((versions[0].aliases.clone(), versions[1].aliases.len()), (vec!["champion".to_owned(), "shadow".to_owned()], 0));
    let missing = change(models, "m", alias("x", Some(3)), 8).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { what: "model version", .. }), "{missing}");
    change(models, "m", alias("shadow", None), 9).await.unwrap();
    change(models, "m", alias("never", None), 9).await.unwrap();
    models.delete_model_version(&org(), &name("m"), 2, 10).await.unwrap();
    assert!(models.model(&org(), &name("m")).await.unwrap().unwrap().aliases.is_empty());
}

/// What is said about versions.
pub async fn versions_are_described_tagged_and_staged(stores: Stores) {
    let models = &*stores.models;
    models.create_model(&org(), &model("m")).await.unwrap();
    let first = models.add_model_version(&org(), &bare_version("m")).await.unwrap();
    assert_eq!((first.number, &first.registered), (1, &bare_version("m")));
    let second = models.add_model_version(&org(), &bare_version("m")).await.unwrap();
    assert_eq!(second.number, 2, "whatever there is already");
    let missing = models.add_model_version(&org(), &bare_version("n")).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { what: "model", .. }), "{missing}");
    assert_eq!(models.model_version(&org(), &name("m"), 1).await.unwrap(), Some(first));

    let change = async |number, change, at_us| models.change_model_version(&org(), &name("m"), number, &change, at_us).await;
    change(1, VersionChange::Description("better".into()), 10).await.unwrap();
    change(1, VersionChange::Tag("team".into(), None), 11).await.unwrap();
    change(1, VersionChange::Tag("ok".into(), Some("yes".into())), 12).await.unwrap();
    change(1, VersionChange::Stage { stage: Stage::Production, archive_others: false }, 13).await.unwrap();
    change(2, VersionChange::Stage { stage: Stage::Production, archive_others: true }, 14).await.unwrap();
    let versions = models.model_versions(&org(), None).await.unwrap();
    let [second, first] = versions.as_slice() else { panic!("{versions:?}") };
    assert_eq!((first.stage, second.stage, first.updated_at_us), (Stage::Archived, Stage::Production, 14));
    assert_eq!(
        (first.registered.description.as_str(), first.registered.tags["ok"].as_str(), first.registered.tags.len()),
        ("better", "yes", 1)
    );
    assert_eq!(models.model(&org(), &name("m")).await.unwrap().unwrap().updated_at_us, 14);
    let missing = change(3, VersionChange::Description("x".into()), 15).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { what: "model version", .. }), "{missing}");
}

/// Deleting.
pub async fn what_was_deleted_is_gone_and_its_number_never_comes_again(stores: Stores) {
    let models = &*stores.models;
    for content in ["one", "two"] {
        models.create_model_version(&org(), &version("m", content)).await.unwrap();
    }
    models.delete_model_version(&org(), &name("m"), 2, 10).await.unwrap();
    assert_eq!(models.model_version(&org(), &name("m"), 2).await.unwrap(), None);
    let again = models.delete_model_version(&org(), &name("m"), 2, 11).await.unwrap_err();
    assert!(matches!(again, StoreError::Missing { what: "model version", .. }), "{again}");
    let file = version("m", "two").bundle.unwrap().files[0].sha256;
    assert!(!stores.artifacts.artifact_referenced(&file).await.unwrap());
    assert_eq!(stores.artifacts.doubted_artifacts(99, 9).await.unwrap(), [file]);
    assert_eq!(models.artifact(&org(), &file.hex()).await.unwrap(), None);
    let (third, created) = models.create_model_version(&org(), &version("m", "two")).await.unwrap();
    assert!(created && third.number == 3);

    models.delete_model(&org(), &name("m"), 20).await.unwrap();
    assert_eq!(models.model(&org(), &name("m")).await.unwrap(), None);
    assert!(models.model_versions(&org(), None).await.unwrap().is_empty());
    assert!(matches!(models.delete_model(&org(), &name("m"), 21).await.unwrap_err(), StoreError::Missing { what: "model", .. }));
    assert_eq!(stores.artifacts.doubted_artifacts(99, 9).await.unwrap().len(), 2);
    let (first, _) = models.create_model_version(&org(), &version("m", "one")).await.unwrap();
    assert_eq!(first.number, 1, "another model of that name");
}

/// Versions.
pub async fn versions_count_up_and_the_same_bundle_is_the_same_version(stores: Stores) {
    let models = stores.models;
    let (first, created) = models.create_model_version(&org(), &version("m", "one")).await.unwrap();
    assert!(created && first.number == 1);
    assert!(models.model(&org(), &name("m")).await.unwrap().is_some(), "made with its first version");
    let (second, _) = models.create_model_version(&org(), &version("m", "two")).await.unwrap();
    assert_eq!(second.number, 2);
    let again = edgeflow_core::model::NewModelVersion { description: "another text".into(), ..version("m", "one") };
    assert_eq!(models.create_model_version(&org(), &again).await.unwrap(), (first.clone(), false));
    let (elsewhere, created) = models.create_model_version(&org(), &version("n", "one")).await.unwrap();
    assert!(created && elsewhere.number == 1, "numbers and digests belong to a model");
    assert_eq!(models.model_version(&org(), &name("m"), 2).await.unwrap(), Some(second.clone()));
    assert_eq!(models.model_version(&org(), &name("m"), 3).await.unwrap(), None);
    assert_eq!(models.model_version(&other_org(), &name("m"), 1).await.unwrap(), None);
    assert_eq!(models.model_versions(&org(), Some(&name("m"))).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(models.model_versions(&org(), None).await.unwrap(), [second, first, elsewhere]);
}

/// Artifacts.
pub async fn artifacts_are_known_to_the_organisation_that_refers_to_them(stores: Stores) {
    let new = version("m", "content");
    let sha256 = new.bundle.as_ref().unwrap().files[0].sha256.hex();
    assert_eq!(stores.models.artifact(&org(), &sha256).await.unwrap(), None);
    stores.models.create_model_version(&org(), &new).await.unwrap();
    stores.models.create_model_version(&org(), &version("n", "content")).await.unwrap();
    assert_eq!(stores.models.artifact(&org(), &sha256).await.unwrap(), Some(7));
    assert_eq!(stores.models.artifact(&other_org(), &sha256).await.unwrap(), None);
}

/// Audit.
pub async fn the_audit_trail_is_read_newest_first(stores: Stores) {
    for at_us in 1..=3 {
        let new = NewAudit {
            at_us,
            who: "administrator".into(),
            action: "deploy".into(),
            resource: format!("deployment/{at_us}"),
            outcome: "done".into(),
            detail: serde_json::json!({ "at": at_us }),
        };
        stores.audit.append_audit(&org(), &new).await.unwrap();
    }
    let page = stores.audit.audit(&org(), None, 2).await.unwrap();
    assert_eq!(page.iter().map(|record| record.at_us).collect::<Vec<_>>(), [3, 2]);
    let rest = stores.audit.audit(&org(), Some(page[1].id), 2).await.unwrap();
    assert_eq!((rest.len(), rest[0].resource.as_str(), &rest[0].detail["at"]), (1, "deployment/1", &serde_json::json!(1)));
    assert!(stores.audit.audit(&other_org(), None, 9).await.unwrap().is_empty());
}
