//! The committed pages say what the code does.

use std::path::Path;

fn committed(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    std::fs::read_to_string(&path).unwrap_or_default()
}

#[test]
fn the_state_diagram_is_the_one_the_machine_draws() {
    let printed = job::docs::state_machine_markdown();
    assert!(printed.contains("submitting --> in_doubt"), "{printed}");
    assert_eq!(committed("state-machine.md"), printed, "run `cargo xtask docs`");
}

#[test]
fn the_retry_matrix_is_the_one_the_machine_follows() {
    let printed = job::docs::retry_matrix_markdown();
    assert!(printed.contains("| ambiguous | not a definite no"), "{printed}");
    assert_eq!(committed("retry-matrix.md"), printed, "run `cargo xtask docs`");
}
