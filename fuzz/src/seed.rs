//! Writes the texts of `golden.json` where cargo-fuzz looks for a corpus.

use serde_json::Value;
use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let golden: Value = serde_json::from_str(include_str!("../../protocol/golden.json"))?;
    for target in ["client_frame", "server_frame"] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        for kind in ["frames", "read", "dropped"] {
            for (i, case) in golden[kind].as_array().into_iter().flatten().enumerate() {
                let text = case["text"].as_str().unwrap_or_default();
                fs::write(corpus.join(format!("golden-{kind}-{i}")), text)?;
            }
        }
    }
    Ok(())
}
