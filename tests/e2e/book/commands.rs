//! The commands of a page: the lines of its `sh` blocks.

/// One block of commands.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) lines: Vec<&'a str>,
}

/// Returns the `sh` blocks of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block<'_>> {
    let blocks = page.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("\n```").next());
    blocks
        .map(|block| Block {
            lines: block.lines().filter(|line| !line.is_empty()).collect(),
        })
        .collect()
}
