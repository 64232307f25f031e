//! Elements of HTML and SVG. What is put into one is escaped, so that no name can become markup; every element is closed, so
//! that the page is well-formed XML too.

use std::fmt;

/// Elements that never have content (HTML Living Standard §13.1.2, and shapes of SVG).
const EMPTY: [&str; 8] = ["meta", "link", "br", "hr", "line", "path", "rect", "circle"];

/// An element under construction.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    content: String,
}

impl Element {
    /// `<name>`.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), content: String::new() }
    }

    /// `<name class="class">`.
    pub(super) fn classed(name: &'static str, class: &str) -> Self {
        Self::new(name).set("class", class)
    }

    /// Sets an attribute.
    pub(super) fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.attributes.push_str(&format!(" {name}=\"{}\"", escaped(&value.to_string())));
        self
    }

    /// Sets attributes that are lengths, in pixels.
    pub(super) fn at<const N: usize>(self, lengths: [(&str, f64); N]) -> Self {
        lengths.into_iter().fold(self, |element, (name, length)| element.set(name, px(length)))
    }

    /// Adds text.
    pub(super) fn text(mut self, text: impl fmt::Display) -> Self {
        self.content.push_str(&escaped(&text.to_string()));
        self
    }

    /// Adds an element.
    pub(super) fn add(self, child: Self) -> Self {
        self.raw(&child.to_string())
    }

    /// Adds elements.
    pub(super) fn all(self, children: impl IntoIterator<Item = Self>) -> Self {
        children.into_iter().fold(self, Self::add)
    }

    /// Adds what is markup, or what elements like `style` take as it is.
    pub(super) fn raw(mut self, markup: &str) -> Self {
        self.content.push_str(markup);
        self
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, attributes, content } = self;
        if EMPTY.contains(name) {
            write!(f, "<{name}{attributes}/>")
        } else {
            write!(f, "<{name}{attributes}>{content}</{name}>")
        }
    }
}

/// `text` without what would be markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML 1.0 §2.2 allows no control characters but these, not even escaped.
            letter if letter.is_control() && !matches!(letter, '\t' | '\n' | '\r') => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A length for SVG, to a tenth of a pixel.
pub(super) fn px(length: f64) -> String {
    let rounded = (length * 10.0).round() / 10.0;
    // Not a number: nothing to draw, and nothing to break the rest with.
    if rounded.is_finite() { format!("{}", rounded + 0.0) } else { "0".into() }
}

#[cfg(test)]
mod tests {
    use super::{Element, px};

    #[test]
    fn text_and_attributes_cannot_become_markup() {
        let element = Element::new("p").set("title", "a\"b").text("<script>&'\u{1}");
        assert_eq!(element.to_string(), "<p title=\"a&quot;b\">&lt;script&gt;&amp;&#39;\u{fffd}</p>");
    }

    #[test]
    fn every_element_is_closed() {
        assert_eq!(
            Element::new("g").add(Element::new("path").set("d", "M0 0")).to_string(),
            "<g><path d=\"M0 0\"/></g>"
        );
        assert_eq!(Element::new("span").to_string(), "<span></span>");
    }

    #[test]
    fn lengths_are_short_and_numbers() {
        assert_eq!([px(1.0), px(2.34), px(-0.01), px(f64::NAN), px(f64::INFINITY)], ["1", "2.3", "0", "0", "0"]);
    }
}
