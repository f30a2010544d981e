//! Histories that once failed: each file of `regressions/` holds lines `seed profile story`.

use parpen_engine::Sound;
use parpen_sim::history::run;
use parpen_sim::profile::Profile;

#[test]
fn what_once_failed_is_sound() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let seed = words.next().unwrap().parse().unwrap();
            let profile = Profile::named(words.next().unwrap()).unwrap();
            let story = words.next().unwrap();
            let failure = run::<Sound>(seed, profile, false).failure;
            assert_eq!(failure, None, "{}: {story}", file.display());
        }
    }
}
