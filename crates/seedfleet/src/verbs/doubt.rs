pub(crate) async fn run(_: &crate::cli::Global, _: crate::cli::DoubtVerb) -> crate::exit::Outcome { Ok(crate::exit::Exit::Failed) }
