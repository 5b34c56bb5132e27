//! Parts of pages that live on in the browser.
