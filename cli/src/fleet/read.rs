//! Declarations out of files: any number of YAML files, each of any number of documents, read as one; what is wrong is told with file, line
//! and column.

use edgeflow_core::fleet::{FleetSpec, Problem, check, nearest};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

use super::locate::{documents, locate};
use crate::error::CliError;

/// Deepest folder below the one that is named.
const DEPTH: usize = 16;

/// One file.
struct Source {
    path: PathBuf,
    text: String,
}

/// Reads files and folders of files (`*.yaml`, `*.yml`, by name) as one declaration, and checks all that can be checked here.
pub(crate) fn read(paths: &[PathBuf]) -> Result<FleetSpec, CliError> {
    let mut files = Vec::new();
    for path in paths {
        find(path, 0, &mut files)?;
    }
    if files.is_empty() {
        let named = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(CliError::Input { path: named, reason: "there is no .yaml file: name a file, or a folder of them".to_owned() });
    }
    let mut sources: Vec<Source> = Vec::new();
    let mut whole = FleetSpec::default();
    for path in files {
        let shown = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|source| CliError::Read { path: shown.clone(), source })?;
        for document in documents::<FleetSpec>(&text) {
            let document = document.map_err(|error| unread(&path, &error))?;
            whole.merge(document.unwrap_or_default()).map_err(|part| twice(&sources, &path, &text, &part))?;
        }
        sources.push(Source { path, text });
    }
    let problems = check(&whole);
    if problems.is_empty() {
        Ok(whole)
    } else {
        Err(CliError::Declaration { problems: problems.iter().map(|problem| at(&sources, problem)).collect() })
    }
}

fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let failed = |source| CliError::Read { path: path.display().to_string(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, hidden) = (entry.path(), entry.file_name().to_string_lossy().starts_with('.'));
        let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if !hidden && (yaml || path.is_dir()) && depth < DEPTH {
            find(&path, depth + 1, files)?;
        }
    }
    Ok(())
}

/// A document that is YAML of something else, or none. Keys that are not known are named with the nearest that is.
fn unread(path: &Path, error: &serde_norway::Error) -> CliError {
    let mut reason = error.to_string();
    let mut place = path.display().to_string();
    if let Some(location) = error.location() {
        let (line, column) = (location.line(), location.column());
        place = format!("{place}:{line}:{column}");
        reason = reason.replace(&format!(" at line {line} column {column}"), "");
    }
    CliError::Input { path: place, reason: unknown_key(&reason).unwrap_or(reason) }
}

/// In our words: which key, and which was perhaps meant.
fn unknown_key(reason: &str) -> Option<String> {
    let (before, rest) = reason.split_once("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let meant = nearest(key, &known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    Some(format!("{before}unknown key {key:?}{meant} (there are {})", known.join(", ")))
}

fn twice(sources: &[Source], path: &Path, text: &str, part: &str) -> CliError {
    let shown = |path: &Path, text: &str| match locate(text, part) {
        Some((_, (line, column))) => format!("{}:{line}:{column}", path.display()),
        None => path.display().to_string(),
    };
    let depth = part.split('.').count();
    let first = sources.iter().find(|source| locate(&source.text, part).is_some_and(|(found, _)| found == depth));
    let first = first.map_or_else(|| "another document of this file".to_owned(), |source| shown(&source.path, &source.text));
    CliError::Input { path: shown(path, text), reason: format!("{part} is declared twice: {first} has it, too") }
}

/// A problem with the place in the file that says most of it.
fn at(sources: &[Source], problem: &Problem) -> String {
    let found = sources.iter().filter_map(|source| locate(&source.text, &problem.path).map(|(depth, place)| (depth, place, &source.path)));
    // A name that an earlier file has in part is another's.
    match found.max_by_key(|(depth, _, _)| *depth) {
        Some((_, (line, column), path)) => format!("{}:{line}:{column}: {problem}", path.display()),
        None => problem.to_string(),
    }
}

/// One document of a file, of another kind.
pub(crate) fn one<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CliError> {
    let text = fs::read_to_string(path).map_err(|source| CliError::Read { path: path.display().to_string(), source })?;
    let mut read = documents::<T>(&text).into_iter();
    match (read.next(), read.next()) {
        (Some(Ok(Some(document))), None) => Ok(document),
        (Some(Err(error)), _) | (_, Some(Err(error))) => Err(unread(path, &error)),
        _ => Err(CliError::Input { path: path.display().to_string(), reason: "it does not hold exactly one document".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let error = read(&[folder.path().to_owned()]).unwrap_err().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_one() {
        let text = "groups:\n  berlin:\n    lables: {site: [berlin]}\n";
        assert_eq!(
            refused(&[("a.yaml", text)]),
            "a.yaml:3:5: groups.berlin: unknown key \"lables\"; did you mean \"labels\"? (there are names, labels, exclude)"
        );
        let deep = "groups: {}\n---\nrollouts:\n  careful:\n    strategy:\n      stages:\n        - name: canary\n          cuont: 1\n";
        let told = refused(&[("b.yaml", deep)]);
        assert!(
            told.starts_with("b.yaml:8:11: rollouts.careful.strategy.stages[0]: unknown key \"cuont\"; did you mean \"count\"?"),
            "{told}"
        );
        let told = refused(&[("c.yaml", "grops: {}\n")]);
        assert!(told.starts_with("c.yaml:1:1: unknown key \"grops\"; did you mean \"groups\"?"), "{told}");
        let told = refused(&[("d.yaml", "slots:\n  reader:\n    release: 3\n")]);
        assert!(told.starts_with("d.yaml:3:14: slots.reader.release: invalid type"), "{told}");
        let told = refused(&[("e.yaml", "slots: [\n")]);
        assert!(told.starts_with("e.yaml:"), "not YAML: {told}");
    }

    #[test]
    fn what_contradicts_itself_is_told_with_its_place() {
        let slots = "slots:\n  reader:\n    release: {name: reader, version: 2}\n    targets: {groups: [berln]}\n";
        let told = refused(&[("groups.yml", "groups:\n  berlin: {names: [robot-1]}\n"), ("slots.yaml", slots)]);
        assert_eq!(told, "slots.yaml:4:15: slots.reader.targets.groups: there is no group \"berln\"; did you mean \"berlin\"?");
        let told = refused(&[("a.yaml", "groups:\n  g: {names: [robot-1]}\n"), ("b.yaml", "# more\ngroups:\n  g: {names: [robot-2]}\n")]);
        assert_eq!(told, "b.yaml:3:3: groups.g is declared twice: a.yaml:2:3 has it, too");
        let told = refused(&[("a.yaml", "groups:\n  g: {}\n  h: {}\n")]);
        assert!(told.contains("a.yaml:2:3: groups.g: ") && told.contains("\n  a.yaml:3:3: groups.h: "), "all of it at once: {told}");
        assert!(refused(&[("notes.txt", "x")]).contains("there is no .yaml file"));
    }

    #[test]
    fn a_version_need_not_be_quoted() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "slots:\n  reader:\n    release: {name: reader, version: 2}\n").unwrap();
        let spec = read(&[folder.path().to_owned()]).unwrap();
        assert_eq!(spec.slots["reader"].release.version.as_deref(), Some("2"));
    }
}
