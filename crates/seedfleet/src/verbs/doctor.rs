pub(crate) async fn run(_: &crate::cli::Global) -> crate::exit::Outcome { Ok(crate::exit::Exit::Failed) }
