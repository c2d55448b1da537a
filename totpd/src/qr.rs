//! The otpauth URI as a QR code (in the terminal, as PNG, as SVG), and the key as people read it.

mod encode;
mod text;

pub use text::{Colours, Drawing, ascii, utf8};

use data_encoding::BASE64;
use encode::smallest;
use qrcode::render::svg;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel};
use zeroize::Zeroizing;

/// Light modules around the code in a picture (ISO/IEC 18004 section 9.1: four).
const QUIET: usize = 4;
/// Pixels of a module in a PNG.
const SCALE: usize = 8;

/// A setup key in groups of four, as people read it out.
pub fn grouped(key: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(key.len() * 5 / 4));
    for (i, symbol) in key.chars().enumerate() {
        if i > 0 && i % 4 == 0 {
            out.push(' ');
        }
        out.push(symbol);
    }
    out
}

/// A drawing.
///
/// # Errors
/// When the text is too long for any QR code.
pub fn svg(text: &str) -> Result<String, QrError> {
    let code = smallest(text, EcLevel::M)?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(256, 256).build())
}

/// A picture of one bit a pixel.
///
/// # Errors
/// As [`svg()`]; the encoder writes to memory and has nothing else to fail on.
pub fn png(text: &str) -> Result<Vec<u8>, QrError> {
    let code = smallest(text, EcLevel::M)?;
    let (width, colors) = (code.width(), code.to_colors());
    let pixels = (width + 2 * QUIET) * SCALE;
    let mut rows = Vec::with_capacity(pixels * pixels.div_ceil(8));
    for y in 0..pixels {
        let mut row = vec![0xff_u8; pixels.div_ceil(8)];
        for x in 0..pixels {
            let module = |at: usize| (at / SCALE).checked_sub(QUIET).filter(|m| *m < width);
            if let (Some(mx), Some(my)) = (module(x), module(y))
                && colors.get(my * width + mx) == Some(&Color::Dark)
                && let Some(byte) = row.get_mut(x / 8)
            {
                *byte &= !(0x80 >> (x % 8));
            }
        }
        rows.append(&mut row);
    }
    let size = u32::try_from(pixels).map_err(|_| QrError::DataTooLong)?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size, size);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let written = encoder.write_header().and_then(|mut w| w.write_image_data(&rows));
    written.map_err(|_| QrError::DataTooLong)?;
    Ok(out)
}

/// A picture as a `data:` URI.
///
/// # Errors
/// As [`png()`].
pub fn png_data_uri(text: &str) -> Result<String, QrError> {
    Ok(format!("data:image/png;base64,{}", BASE64.encode(&png(text)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_in_groups_of_four() {
        assert_eq!(*grouped("ABCDEFGHIJ"), "ABCD EFGH IJ");
    }
}
