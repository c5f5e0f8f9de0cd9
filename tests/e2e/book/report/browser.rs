//! Looks at the page as a browser does.

use std::fs;
use std::path::Path;

use mesh_tests::toolbox;

use super::{STREAMS, example, page};
use crate::Said;

/// Lays the page out in a real browser at the widths of a phone and of a desk.
#[test]
#[ignore = "needs Chromium"]
fn page_is_not_wider_than_the_screen_in_a_real_browser() {
    let browsers = ["/usr/bin/chromium", "/usr/bin/google-chrome"];
    let browser = browsers.into_iter().find(|it| Path::new(it).exists());
    let browser = browser.expect("Chromium (Debian: apt install chromium)");
    let tools = toolbox!();
    let streams = STREAMS.map(|name| (name, example(name)));
    let streams = streams.each_ref().map(|(name, text)| (*name, &**text));
    let page = page(&tools, &streams).exits(0).stdout;
    // The page itself runs no script, so a page around it measures it.
    fs::write(
        tools.folder().join("page.html"),
        page.replace("default-src 'none'; style", "style"),
    )
    .unwrap();
    let frame = "<!DOCTYPE html><body><iframe id='page' src='page.html'></iframe><script>\
        onload = () => { const frame = document.getElementById('page'); let said = ''; \
        for (const width of [390, 1280]) { frame.style.width = width + 'px'; frame.style.border = 0; \
        said += width + ':' + frame.contentDocument.documentElement.scrollWidth + ' '; } \
        document.title = said; }</script>";
    fs::write(tools.folder().join("frame.html"), frame).unwrap();
    let mut command = tools.command(browser);
    command
        .args([
            "--headless",
            "--hide-scrollbars",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--dump-dom",
        ])
        .arg(format!("file://{}/frame.html", tools.folder().display()));
    let said = Said::of(&mut command).exits(0);
    assert!(
        said.stdout.contains("<title>390:390 1280:1280 </title>"),
        "{}",
        said.stdout
    );
}
