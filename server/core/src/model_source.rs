//! Where a model version is said to come from: the URIs that MLflow's clients register.

use crate::{CoreError, artifact::ArtifactPath};

/// Where the files of a version are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a folder of our artifacts.
    Artifacts(ArtifactPath),
    /// In the artifacts of a run, in that folder of them (`None`: the root).
    Run {
        /// Which run.
        run_id: String,
        /// Where in its artifacts.
        path: Option<ArtifactPath>,
    },
    /// In the artifacts of a logged model.
    LoggedModel(String),
    /// Where another version has them: a model's name, and a version or `@alias`.
    Version {
        /// The model.
        model: String,
        /// The version's number, or `@` and an alias.
        version: String,
    },
    /// In somebody else's store, such as a bucket: clients reach it, this control plane does not.
    Elsewhere,
}

/// What an address of artifacts of ours has in it.
const SERVED: &str = "/api/2.0/mlflow-artifacts/artifacts/";

impl Source {
    /// Reads a URI.
    ///
    /// # Errors
    /// [`CoreError::BadSource`] when it names a file of some machine, or leads out of its folder.
    pub fn parse(uri: &str) -> Result<Self, CoreError> {
        let bad = |reason| CoreError::BadSource { given: uri.chars().take(512).collect(), reason };
        const LOCAL: &str = "it names a file of one machine, which nobody else can read: log the model to this server and register that";
        let Some((scheme, rest)) = uri.split_once(':') else { return Err(bad(LOCAL)) };
        let no_path = |_| bad("it leads out of its folder, or is no path: give an absolute one without . and ..");
        let path = |text: &str| ArtifactPath::new(text.trim_end_matches('/')).map_err(no_path);
        match scheme.to_ascii_lowercase().as_str() {
            "mlflow-artifacts" => Ok(Source::Artifacts(path(behind_host(rest).trim_start_matches('/'))?)),
            "http" | "https" => match uri.split_once(SERVED) {
                Some((_, served)) => Ok(Source::Artifacts(path(served)?)),
                None => Ok(Source::Elsewhere),
            },
            "runs" => {
                let (run_id, below) = rest.trim_start_matches('/').split_once('/').unwrap_or((rest.trim_start_matches('/'), ""));
                let below = below.trim_matches('/');
                let below = if below.is_empty() { None } else { Some(path(below)?) };
                if run_id.is_empty() {
                    return Err(bad("it names no run: give runs:/RUN_ID/PATH"));
                }
                Ok(Source::Run { run_id: run_id.to_owned(), path: below })
            }
            "models" => {
                let name = rest.trim_start_matches('/').trim_end_matches('/');
                let what = "it names no model: give models:/m-ID, models:/NAME/VERSION or models:/NAME@ALIAS";
                match name.rsplit_once('/').or_else(|| name.rfind('@').map(|at| name.split_at(at))) {
                    Some((model, version)) if !model.is_empty() && !version.is_empty() && !model.contains('/') => {
                        Ok(Source::Version { model: model.to_owned(), version: version.to_owned() })
                    }
                    None if !name.is_empty() => Ok(Source::LoggedModel(name.to_owned())),
                    _ => Err(bad(what)),
                }
            }
            "file" => Err(bad(LOCAL)),
            // One letter is a drive.
            drive if drive.len() == 1 => Err(bad(LOCAL)),
            _ if rest.split('/').any(|name| name == "..") => Err(bad("it leads out of its folder: give an absolute one without ..")),
            _ => Ok(Source::Elsewhere),
        }
    }
}

/// `//host:port/path` without the host.
fn behind_host(rest: &str) -> &str {
    match rest.strip_prefix("//") {
        Some(authority) => authority.find('/').and_then(|at| authority.get(at..)).unwrap_or_default(),
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uri_that_clients_register_is_read() {
        let artifacts = |path: &str| Source::Artifacts(ArtifactPath::new(path).unwrap());
        let version = |model: &str, version: &str| Source::Version { model: model.into(), version: version.into() };
        for (uri, source) in [
            ("mlflow-artifacts:/0/r/artifacts/model", artifacts("0/r/artifacts/model")),
            ("mlflow-artifacts://host:5000/0/r/", artifacts("0/r")),
            ("http://host:5000/api/2.0/mlflow-artifacts/artifacts/0/r", artifacts("0/r")),
            ("https://example.org/model", Source::Elsewhere),
            ("s3://bucket/model", Source::Elsewhere),
            ("models:/m-0123", Source::LoggedModel("m-0123".into())),
            ("models:/digit reader/3", version("digit reader", "3")),
            ("models:/digit reader@champion", version("digit reader", "@champion")),
            ("runs:/abc/model/onnx", Source::Run { run_id: "abc".into(), path: Some(ArtifactPath::new("model/onnx").unwrap()) }),
            ("runs:/abc", Source::Run { run_id: "abc".into(), path: None }),
        ] {
            assert_eq!(Source::parse(uri).unwrap(), source, "{uri}");
        }
    }

    #[test]
    fn files_of_a_machine_and_ways_out_are_refused() {
        for (uri, words) in [
            ("/tmp/model", "one machine"),
            ("model", "one machine"),
            ("file:///tmp/model", "one machine"),
            ("C:\\model", "one machine"),
            ("mlflow-artifacts:/0/../../etc", "leads out"),
            ("mlflow-artifacts:/", "no path"),
            ("s3://bucket/../other", "leads out"),
            ("runs:/", "no run"),
            ("models:/", "no model"),
            ("models:/a/b/1", "no model"),
        ] {
            let error = Source::parse(uri).unwrap_err().to_string();
            assert!(error.contains(words), "{uri}: {error}");
        }
    }
}
