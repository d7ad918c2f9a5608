//! Checkpoints that are not what they should be: the ones before them serve on.

use super::*;

/// Reloads; the reason why a checkpoint was refused.
async fn refused(stage: &Stage) -> String {
    let before = stage.operator.reloads().borrow().failed;
    let reloads = stage.reload().await;
    assert_eq!(reloads.failed, before + 1, "{reloads:?}");
    reloads.last_error.expect("told")
}

/// A way to spoil a checkpoint, and what is said of it.
type Fault = (fn(&Path), &'static str);

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("read");
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).expect("written");
}

const FAULTS: [Fault; 6] = [
    // Half-copied, in one order or the other.
    (|at| fs::remove_file(at.join("encoder.weights")).expect("removed"), "encoder.weights"),
    (|at| fs::remove_file(at.join("manifest.json")).expect("removed"), "no manifest.json"),
    // Cut short.
    (
        |at| {
            let file = fs::File::options().write(true).open(at.join("tokenizer.json"));
            file.and_then(|file| file.set_len(1000)).expect("cut");
        },
        "tokenizer.json is damaged",
    ),
    // Tampered with.
    (
        |at| {
            let path = at.join("tasks/polarity/head.safetensors");
            let mut bytes = fs::read(&path).expect("read");
            *bytes.last_mut().expect("not empty") ^= 1;
            fs::write(&path, bytes).expect("written");
        },
        "head.safetensors is damaged",
    ),
    (|at| edit(&at.join("manifest.json"), "\"polarity\"", "\"polaritx\""), "its id does not fit"),
    // Of a later program.
    (
        |at| edit(&at.join("manifest.json"), "\"format_version\": 3", "\"format_version\": 99"),
        "format version 99",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_checkpoint_is_refused_and_others_are_loaded() {
    let stage = Stage::ready().await;
    let (reviews, shop) = (stage_path(&stage, "reviews"), stage_path(&stage, "shop"));
    let home = tempfile::tempdir().expect("a directory");
    let good = home.path().join("good");
    copy(&reviews, &good);
    for (at, (spoil, words)) in FAULTS.iter().enumerate() {
        replace(&reviews, |at| {
            let fresh = home.path().join("fresh");
            checkpoints::write_as(&fresh, &[POLARITY, INTENSITY], variant(5.0));
            // No file that others share.
            copy(&fresh, at);
            fs::remove_dir_all(&fresh).expect("removed");
            spoil(at);
        });
        replace(&shop, |to| checkpoints::write_as(to, &[MATCH], variant(20.0 + at as f32)));
        let error = refused(&stage).await;
        assert!(error.contains(words), "{error}");
        assert!(error.contains(&reviews.display().to_string()), "{error}");
        assert_answers(&stage, "polarity", &good).await;
        let request = proto::GetTaskRequest { task: "match".to_owned() };
        let told = soon(stage.client().await.get_task(request)).await.expect("told").into_inner();
        assert_eq!(told.model, id(&shop));
    }
    replace(&reviews, |at| checkpoints::write_as(at, &[POLARITY], variant(6.0)));
    let reloads = stage.reload().await;
    assert_eq!((reloads.succeeded, reloads.failed), (1, FAULTS.len() as u64));
    assert_answers(&stage, "polarity", &reviews).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_gives_nonsense_is_refused_before_anybody_asks_it() {
    let stage = Stage::ready().await;
    let reviews = stage_path(&stage, "reviews");
    let home = tempfile::tempdir().expect("a directory");
    let good = home.path().join("good");
    copy(&reviews, &good);
    let (encoder, sessions) = (other_encoder(home.path()), stage.control.sessions());
    for (encoder, made) in [(None, sessions), (Some(&encoder), sessions + 1)] {
        replace(&reviews, |at| {
            checkpoints::write_as(at, &[POLARITY], Variant { seed: f32::INFINITY, encoder });
        });
        let error = refused(&stage).await;
        assert!(error.contains("\"polarity\"") && error.contains("cannot predict"), "{error}");
        assert_answers(&stage, "polarity", &good).await;
        assert_eq!(stage.control.sessions(), made);
    }
    soon(stage.control.until_alive(sessions)).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_seen_is_not_taken_for_an_empty_one() {
    let stage = Stage::ready().await;
    let (reviews, models) = (stage_path(&stage, "reviews"), stage.models.path().to_owned());
    let home = tempfile::tempdir().expect("a directory");
    let away = home.path().join("away");
    let good = away.join("reviews");
    fs::rename(&models, &away).expect("renamed");
    let error = refused(&stage).await;
    assert!(error.contains("no such directory") && error.contains("disk"), "{error}");
    assert_answers(&stage, "polarity", &good).await;
    // What an unmounted disk leaves behind.
    fs::create_dir(&models).expect("made");
    let error = refused(&stage).await;
    assert!(error.contains("no checkpoint"), "{error}");
    assert_answers(&stage, "polarity", &good).await;
    // One of them, on a disk of its own that is gone, and one that leads round in circles.
    std::os::unix::fs::symlink(&reviews, &reviews).expect("linked");
    std::os::unix::fs::symlink(home.path().join("gone"), models.join("shop")).expect("linked");
    let error = refused(&stage).await;
    assert!(error.contains("/shop") && error.contains("no manifest.json"), "{error}");
    fs::remove_file(models.join("shop")).expect("removed");
    copy(&away.join("shop"), &models.join("shop"));
    let error = refused(&stage).await;
    assert!(error.contains(&reviews.display().to_string()), "{error}");
    assert_answers(&stage, "polarity", &good).await;
    assert_eq!(listed(&stage).await, ["intensity", "match", "polarity"]);
    // And back.
    fs::remove_dir_all(&models).expect("removed");
    fs::rename(&away, &models).expect("renamed");
    assert_eq!(stage.reload().await.succeeded, 1);
    assert_answers(&stage, "polarity", &reviews).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_and_a_panic_leave_all_as_it_is() {
    let stage = Stage::ready().await;
    let reviews = stage_path(&stage, "reviews");
    let odd = stage_path(&stage, "reviews@ 2");
    copy(&reviews, &odd);
    let error = refused(&stage).await;
    assert!(error.contains("reviews@ 2") && error.contains("is no version"), "{error}");
    fs::remove_dir_all(&odd).expect("removed");
    stage.next_control().set(super::super::encoder::Mode::Panic);
    let home = tempfile::tempdir().expect("a directory");
    let encoder = other_encoder(home.path());
    let new = Variant { seed: 1.0, encoder: Some(&encoder) };
    checkpoints::write_as(&stage_path(&stage, "reviews@3"), &[POLARITY], new);
    let error = refused(&stage).await;
    assert!(error.contains("a panic"), "{error}");
    assert_answers(&stage, "polarity", &reviews).await;
    stage.next_control();
    assert_eq!(stage.reload().await.succeeded, 1);
    assert_answers(&stage, "polarity@3", &stage_path(&stage, "reviews@3")).await;
    stage.stop().await;
}
