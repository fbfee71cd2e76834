pub(crate) async fn run(_: &crate::cli::Global, _: crate::cli::JobsVerb) -> crate::exit::Outcome { Ok(crate::exit::Exit::Failed) }
