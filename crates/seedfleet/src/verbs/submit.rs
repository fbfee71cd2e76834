pub(crate) async fn run(_: &crate::cli::Global, _: Box<crate::cli::SubmitArgs>) -> crate::exit::Outcome { Ok(crate::exit::Exit::Failed) }
