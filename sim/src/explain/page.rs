//! The file: one page, without a request to anywhere.

use super::picture::Picture;

/// The page of a picture: HTML that opens offline, with all it needs inside.
///
/// # Errors
/// The picture cannot be serialised.
pub fn html(picture: &Picture) -> Result<String, serde_json::Error> {
    // Inside a script element only `</` could end it early; JSON may write it as `<\/`.
    let data = serde_json::to_string(picture)?
        .replace("</", "<\\/")
        .replace("<!--", "<\\u0021--");
    let title = escape(&format!("{} – doyen-sim", picture.name));
    // The data goes in last, so that nothing in it is taken for a place to fill.
    Ok(include_str!("page/page.html")
        .replace("{{title}}", &title)
        .replace("{{style}}", include_str!("page/page.css"))
        .replace("{{library}}", include_str!("page/vendor/d3.min.js"))
        .replace("{{script}}", include_str!("page/page.js"))
        .replace("{{picture}}", &data))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_picture_ends_its_script_or_asks_the_network() {
        let picture = Picture {
            name: "<b>".to_owned(),
            story: "</script><script>alert(1)</script><!--".to_owned(),
            ..Picture::default()
        };
        let page = html(&picture).unwrap();
        assert!(!page.contains("</script><script>alert"));
        assert!(page.contains("<title>&lt;b&gt; – doyen-sim</title>"));
        assert!(!page.contains("{{"));
        for outside in ["<script src", "<link", "<img", "<iframe", "@import"] {
            assert!(
                !page.contains(outside),
                "everything is inside, not by {outside}"
            );
        }
    }
}
