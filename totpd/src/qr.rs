//! The otpauth URI as a QR code (in the terminal, as PNG, as SVG), and the key as people read it.

use data_encoding::BASE64;
use qrcode::render::{svg, unicode::Dense1x2};
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

/// Modules of white around the code that readers need (ISO/IEC 18004).
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

/// Half blocks, light on dark; with `color` black on white whatever the terminal's colours are.
/// Error correction L keeps it small: a screen has no dirt on it.
///
/// # Errors
/// When the text is too long for any QR code.
pub fn utf8(text: &str, color: bool) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let mut render = code.render::<Dense1x2>();
    if !color {
        // The lit halves are the light modules: right on a dark terminal, and in a picture of one.
        return Ok(render.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build());
    }
    let plain = render.build();
    Ok(plain.lines().map(|line| format!("\x1b[30;107m{line}\x1b[0m\n")).collect())
}

/// Two characters a module, for terminals without UTF-8: coloured blanks, or with `##` for light.
///
/// # Errors
/// As [`utf8`].
pub fn ascii(text: &str, color: bool) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let plain = code.render::<char>().module_dimensions(2, 1).dark_color(' ').light_color('#').build();
    if !color {
        return Ok(plain);
    }
    Ok(plain
        .lines()
        .map(|line| {
            let modules = line.as_bytes().chunks(2);
            let cells: String =
                modules.map(|m| if m == b"##" { "\x1b[107m  " } else { "\x1b[40m  " }).collect();
            format!("{cells}\x1b[0m\n")
        })
        .collect())
}

/// A drawing.
///
/// # Errors
/// As [`utf8`].
pub fn svg(text: &str) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(256, 256).build())
}

/// A picture of one bit a pixel.
///
/// # Errors
/// As [`utf8`]; the encoder writes to memory and has nothing else to fail on.
pub fn png(text: &str) -> Result<Vec<u8>, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
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
    #[test]
    fn a_key_is_shown_in_groups_of_four() {
        assert_eq!(*super::grouped("ABCDEFGHIJ"), "ABCD EFGH IJ");
    }
}
