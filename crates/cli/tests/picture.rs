//! `wharf compare --plot`: a picture of every size and transport, whole or not at all.

mod scene;

use std::path::Path;

use scene::{Scene, says};

/// The names of everything in a directory.
fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_svg_has_both_panels_every_transport_and_the_crossover() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("picture.svg");
    std::fs::write(&path, "the picture before").expect("a file");
    let arguments = ["compare", "--quick", "--size", "64", "--transport", "plain", "--transport", "shm"];
    let plot = ["--transport", "unix", "--json", "--plot", path.to_str().expect("text")];
    let output = scene.run(&[&arguments[..], &plot].concat()).well();
    let report: serde_json::Value = serde_json::from_slice(&output).expect("JSON on standard output");
    assert_eq!(report["settings"]["plot"], path.to_str().expect("text"));
    for row in report["rows"].as_array().expect("rows") {
        let sweep = row["sweep"].as_array().expect("points");
        let sizes: Vec<u64> = sweep.iter().filter_map(|point| point["size_bytes"].as_u64()).collect();
        assert!(sizes.len() >= 10 && sizes.is_sorted(), "{sizes:?}");
        assert_eq!((sizes.first(), sizes.last()), (Some(&8), Some(&(4 << 20))));
        for figure in ["latency_ns", "gib_per_second", "messages_per_second"] {
            assert!(sweep.iter().all(|point| point[figure].as_f64().is_some_and(|it| it > 0.0)), "{figure} in {row:#}");
        }
    }

    let picture = std::fs::read_to_string(&path).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    let words =
        ["wharf compare on", "Latency", "Throughput", "message size", "GiB per second", "8 B", "2 MiB", "cores"];
    for part in words.iter().chain(&["plain + lock", "shm:", "unix:", "than every kernel transport"]) {
        assert!(picture.contains(part), "{part} is missing in the picture");
    }
    // The sentences about the crossover are those of the report.
    let summary = report["summary"].as_array().expect("sentences").iter().filter_map(|it| it.as_str());
    let crossovers: Vec<&str> = summary.filter(|it| it.contains("kernel transport")).collect();
    assert_eq!(crossovers.len(), 4, "two ways, two panels: {crossovers:?}");
    for sentence in crossovers {
        assert!(picture.contains(sentence.trim_end_matches('.')), "{sentence}");
    }
    assert_eq!(entries(directory.path()), ["picture.svg"], "nothing unfinished remains");
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn a_png_is_one_and_has_more_than_one_colour() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("picture.PNG");
    let plot = ["compare", "--quick", "--size", "64", "--transport", "unix", "--plot", path.to_str().expect("text")];
    scene.run(&plot).well();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).expect("a picture")));
    let mut reader = decoder.read_info().expect("a PNG");
    let mut dots = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut dots).expect("a whole PNG");
    assert!(info.width >= 2400 && info.height >= 1300);
    let colours: std::collections::BTreeSet<&[u8]> = dots.chunks_exact(3).collect();
    assert!(
        colours.contains(&[255, 255, 255][..]) && colours.contains(&[213, 94, 0][..]),
        "paper, and unix: in its colour"
    );
    assert_eq!(entries(directory.path()), ["picture.PNG"]);
}

#[test]
fn what_cannot_be_drawn_is_said_before_anything_is_measured() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().expect("a directory");
    let in_directory = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
    std::fs::create_dir(in_directory("taken.svg")).expect("a directory");
    for (path, parts) in [
        (in_directory("a.jpeg"), &["ends in .jpeg", "FILE.svg or FILE.png"][..]),
        (in_directory("a"), &["no ending", "FILE.svg or FILE.png"]),
        (in_directory("taken.svg"), &["is a directory"]),
        (in_directory("missing/a.png"), &["cannot write", "No such file"]),
        ("/proc/a.svg".to_owned(), &["cannot write '/proc/a.svg'"]),
    ] {
        let start = std::time::Instant::now();
        // Without --quick this would take a minute and more.
        says(&scene.run(&["compare", "--plot", &path]).refused(2), parts);
        assert!(start.elapsed().as_secs() < 20, "it was measured first");
    }
    assert_eq!(entries(directory.path()), ["taken.svg"]);
}
