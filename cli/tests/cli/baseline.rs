//! Baselines made of the kinds of files that training data comes in, and shown.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use edgeflow_drift::{Baseline, FeatureBaseline, IMAGE_FEATURES, channel_means, image_features, luma};

use crate::support::{Ran, program, run};

async fn edgeflow(arguments: &[&str]) -> Ran {
    run(program(&[&["baseline"], arguments].concat())).await
}

/// Builds a baseline of the paths.
async fn built(dir: &Path, arguments: &[&str]) -> Baseline {
    let out = dir.join("baseline.json");
    let said = edgeflow(&[&["build", "--force", "--out", out.to_str().unwrap()], arguments].concat()).await.ok();
    assert!(said.contains("features of"), "{said}");
    Baseline::from_json(&fs::read_to_string(out).unwrap()).unwrap()
}

fn names(baseline: &Baseline) -> Vec<&str> {
    baseline.features.iter().map(|feature| feature.name.as_str()).collect()
}

fn categories(feature: &FeatureBaseline) -> Vec<(i64, &str)> {
    feature.categories.iter().map(|category| (category.code, category.name.as_str())).collect()
}

/// A file as `numpy.save` writes it.
fn npy(path: &Path, descr: &str, shape: &str, data: &[u8]) -> String {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    header.extend(std::iter::repeat_n(' ', 63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut file = fs::File::create(path).unwrap();
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(data).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Written by pandas 2.3 with pyarrow: 200 rows, snappy, with gaps. `cli/tests/data/README.md` says how.
fn data(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_table_becomes_a_feature_for_each_column() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("run.csv");
    let rows: String = (0..120)
        .map(|i| format!("{},{},{}\n", i, if i % 12 == 0 { String::new() } else { (i % 3).to_string() }, ["b", "a"][i % 2]))
        .collect();
    fs::write(&csv, format!("distance,gear,side\n{rows}")).unwrap();
    let csv = csv.to_str().unwrap();
    let all = built(dir.path(), &[csv]).await;
    assert_eq!((all.v, names(&all)), (2, vec!["distance", "gear", "side"]));
    let [distance, gear, side] = &all.features[..] else { panic!("three") };
    assert_eq!((distance.n, distance.mean, distance.min, distance.max), (120, 59.5, 0.0, 119.0));
    assert_eq!((gear.n, gear.is_categorical()), (110, false));
    assert_eq!((categories(side), side.counts.as_slice()), (vec![(0, "a"), (1, "b")], &[60, 60, 0][..]));

    let chosen = built(dir.path(), &[csv, csv, "--columns", "gear,side", "--categorical", "gear", "--prefix", "output."]).await;
    assert_eq!(names(&chosen), ["output.gear", "output.side"]);
    assert_eq!((categories(&chosen.features[0]), chosen.features[0].n), (vec![(0, "0"), (1, "1"), (2, "2")], 220));
}

#[tokio::test]
async fn parquet_as_pandas_writes_it_is_read_gaps_and_all() {
    let dir = tempfile::tempdir().unwrap();
    let baseline = built(dir.path(), &[&data("joints.parquet"), "--bins", "4"]).await;
    assert_eq!(names(&baseline), ["position", "effort", "count", "moving", "surface"]);
    let [position, effort, count, moving, surface] = &baseline.features[..] else { panic!("five") };
    assert_eq!((position.n, position.mean, position.edges.len()), (200, 49.75, 3));
    assert_eq!((effort.n, effort.max), (180, 6.0));
    assert_eq!((count.mean, moving.mean), (2.0, 0.5));
    assert_eq!((categories(surface), surface.n), (vec![(0, "carpet"), (1, "tiles")], 199));
}

#[tokio::test]
async fn arrays_are_rows_of_elements_or_images() {
    let dir = tempfile::tempdir().unwrap();
    let floats: Vec<u8> = (0..300).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let rows = npy(&dir.path().join("rows.npy"), "<f4", "(100, 3)", &floats);
    let baseline = built(dir.path(), &[&rows, "--name", "Y", "--prefix", "output."]).await;
    assert_eq!((names(&baseline), baseline.features[1].mean), (vec!["output.Y[0]", "output.Y[1]", "output.Y[2]"], 149.5));
    let column = npy(&dir.path().join("column.npy"), "<i8", "(300,)", &(0..300i64).flat_map(i64::to_le_bytes).collect::<Vec<_>>());
    assert_eq!(names(&built(dir.path(), &[&column]).await), ["X"]);

    // 60 images of 4 x 5 in colour; what is measured is what the node measures.
    let pixels: Vec<u8> = (0..60 * 4 * 5 * 3).map(|i: u32| (i * i / 7 % 251) as u8).collect();
    let frames = npy(&dir.path().join("frames.npy"), "|u1", "(60, 4, 5, 3)", &pixels);
    let baseline = built(dir.path(), &[&frames]).await;
    assert_eq!(names(&baseline), ["brightness", "contrast", "sharpness", "red", "green", "blue"]);
    assert!(baseline.features.iter().all(|feature| (feature.n, feature.unit.as_str()) == (60, "0..255")));
    let images = || pixels.chunks_exact(4 * 5 * 3);
    let mean = |value: &dyn Fn(&[u8]) -> f64| images().map(value).sum::<f64>() / 60.0;
    let sharp = mean(&|image| {
        let grey: Vec<u8> = image.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect();
        image_features(&grey, 5, 4, 5).unwrap().sharpness
    });
    let green = mean(&|image| channel_means(image, 5, 4, 15, 3).unwrap()[1]);
    assert!((baseline.features[2].mean - sharp).abs() < 1e-8 && (baseline.features[4].mean - green).abs() < 1e-8);
}

#[tokio::test]
async fn folders_of_images_are_taken_by_name_and_jpeg_is_no_worse_than_png() {
    let dir = tempfile::tempdir().unwrap();
    let (grey, photos) = (dir.path().join("grey"), dir.path().join("photos"));
    fs::create_dir(&grey).unwrap();
    fs::create_dir(&photos).unwrap();
    for i in 0..60u8 {
        let mut encoder = png::Encoder::new(fs::File::create(grey.join(format!("{i:03}.png"))).unwrap(), 3, 2);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[i; 6]).unwrap();
        fs::copy(data("ramp.jpg"), photos.join(format!("{i:03}.JPG"))).unwrap();
    }
    fs::write(grey.join("notes.txt"), "no image").unwrap();
    let baseline = built(dir.path(), &[grey.to_str().unwrap()]).await;
    assert_eq!(names(&baseline), IMAGE_FEATURES.map(|(name, _)| name));
    assert_eq!((baseline.v, baseline.features[0].mean, baseline.features[1].max), (1, 29.5, 0.0));
    // In the order of their names each is like the one before: worth less than 60.
    assert!(baseline.features[0].n_effective < 20.0, "{}", baseline.features[0].n_effective);

    let baseline = built(dir.path(), &[photos.to_str().unwrap()]).await;
    let colours: Vec<f64> = baseline.features[3..].iter().map(|feature| feature.mean).collect();
    // A ramp across, a ramp down and a constant, as Pillow reads them back.
    for (mean, expected) in colours.iter().zip([120.0, 120.0, 64.0]) {
        assert!((mean - expected).abs() < 1.0, "{colours:?}");
    }
}

#[tokio::test]
async fn what_no_baseline_can_be_made_of_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let out = at("out.json");
    fs::write(at("few.csv"), "a\n1\n2\n").unwrap();
    fs::write(at("headless.csv"), "1,2\n3,4\n").unwrap();
    fs::write(at("other.csv"), "b\n1\n").unwrap();
    fs::write(at("broken.parquet"), "PAR1").unwrap();
    fs::write(at("text.txt"), "x").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let complex = npy(&dir.path().join("complex.npy"), "<c8", "(1, 1)", &[0; 8]);
    let cube = npy(&dir.path().join("cube.npy"), "<f4", "(1, 1, 1)", &[0; 4]);
    for (paths, want) in [
        (vec![at("few.csv")], "feature \"a\" has 2 values, too few for a baseline of 10 bins; give at least 50"),
        (vec![at("headless.csv")], "its first line must name the columns"),
        (vec![at("few.csv"), at("other.csv")], "it has b, where the files before have a"),
        (vec![at("broken.parquet")], "broken.parquet: "),
        (vec![at("text.txt")], "it is none of .npy, .csv, .parquet"),
        (vec![at("empty")], "the folder has no .png and no .jpg"),
        (vec![at("nowhere.csv")], "nowhere.csv: "),
        (vec![complex], "numbers are wanted"),
        (vec![cube], "a table is rows x elements, images are uint8"),
    ] {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let error = edgeflow(&[&["build", "--out", &out], &paths[..]].concat()).await.failed();
        assert!(error.contains(want), "{error} should say {want}");
    }
    assert!(!Path::new(&out).exists());
    let error = edgeflow(&["build", "--out", &at("few.csv"), &at("few.csv")]).await.failed();
    assert!(error.contains("it is there already"), "{error}");
    let error = edgeflow(&["build", "--out", &out, "--columns", "z", &at("few.csv")]).await.failed();
    assert!(error.contains("z: there is no such column; there are a"), "{error}");
}

#[tokio::test]
async fn show_says_what_a_baseline_holds() {
    let dir = tempfile::tempdir().unwrap();
    built(dir.path(), &[&data("joints.parquet"), "--bins", "4"]).await;
    let file = dir.path().join("baseline.json");
    let said = edgeflow(&["show", file.to_str().unwrap()]).await.ok();
    for line in ["version 2, bundle", "FEATURE", "position", "below 25", "25 to 50", "75 and above", "carpet", "(other)", "25.0 %"] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    fs::write(&file, "{}").unwrap();
    let error = edgeflow(&["show", file.to_str().unwrap()]).await.failed();
    assert!(error.contains("baseline.json:1:"), "{error}");
}
