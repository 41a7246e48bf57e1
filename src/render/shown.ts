/**
 * Text from outside, fit for a terminal: whatever would move the cursor, colour, reverse or hide something is shown by its
 * number, as \u{1b}.
 */
export function shownText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, escaped)
}

/** The same for text of several lines. */
export function shownLines(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    escaped,
  )
}

const escaped = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
