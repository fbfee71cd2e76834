pub(crate) async fn run(_: &crate::cli::Global, _: crate::cli::ReviewVerb) -> crate::exit::Outcome { Ok(crate::exit::Exit::Failed) }
