//! The machine-readable statement that a picture was made by a trained model.

use crate::{KEY_XMP, TextEntry};

/// IPTC's term for pictures made by a trained model, the value of `Iptc4xmpExt:DigitalSourceType`.
///
/// <https://cv.iptc.org/newscodes/digitalsourcetype/>
pub const DIGITAL_SOURCE_TYPE: &str =
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// An XMP packet that declares a picture synthetic, as an entry for [`crate::encode()`].
///
/// `tool` is written as `xmp:CreatorTool`, for example `tronie 0.1.0`.
#[must_use]
pub fn synthetic_packet(tool: &str) -> TextEntry {
    let tool = escape_xml(tool);
    let packet = format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n \
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n  \
         <rdf:Description rdf:about=\"\"\n    \
         xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n    \
         xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n    \
         Iptc4xmpExt:DigitalSourceType=\"{DIGITAL_SOURCE_TYPE}\"\n    \
         xmp:CreatorTool=\"{tool}\"/>\n \
         </rdf:RDF>\n\
         </x:xmpmeta>\n\
         <?xpacket end=\"w\"?>"
    );
    TextEntry::new(KEY_XMP, packet)
}

/// Whether some entry is an XMP packet with [`DIGITAL_SOURCE_TYPE`].
#[must_use]
pub fn is_declared_synthetic(entries: &[TextEntry]) -> bool {
    entries.iter().any(|entry| entry.key == KEY_XMP && entry.value.contains(DIGITAL_SOURCE_TYPE))
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
