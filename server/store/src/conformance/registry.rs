//! Promises about models and the audit trail.

use edgeflow_core::{ModelName, audit::NewAudit, model::Model};

use super::fixtures::{org, other_org, version};
use crate::{StoreError, Stores};

fn name(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

/// Models.
pub async fn models_are_made_once_and_listed_by_name(stores: Stores) {
    let models = stores.models;
    let model = |text: &str| Model { name: name(text), description: format!("the {text}"), created_at_us: 4 };
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
    assert_eq!(models.model_versions(&org(), &name("m")).await.unwrap(), [second, first]);
}

/// Artifacts.
pub async fn artifacts_are_known_to_the_organisation_that_refers_to_them(stores: Stores) {
    let new = version("m", "content");
    let sha256 = new.files[0].sha256.hex();
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
