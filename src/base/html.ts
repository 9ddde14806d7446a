// The pages that Cordon shows people: one shell, no script, nothing loaded from anywhere.

/** Sent with every page: it could load nothing even if a text got out of its place. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const STYLE = `:root{color-scheme:light dark;--ink:#1b2330;--soft:#5a6575;--back:#f3f5f8;--card:#fff;--line:#dde2ea;--code:#f3f5f8;--link:#1a56b8}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#a2adbd;--back:#12161d;--card:#1b212b;--line:#323b49;--code:#12161d;--link:#8ab4f8}}
*{box-sizing:border-box}body{font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--back);margin:0;padding:1rem}
main{margin:min(8vh,5rem) auto;padding:2rem 2.25rem;background:var(--card);border:1px solid var(--line);border-top:4px solid var(--accent);border-radius:10px;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.6rem 0}a{color:var(--link)}
dl{display:grid;grid-template-columns:auto 1fr;gap:.3rem 1.25rem;color:var(--soft);font-size:.9rem;border-top:1px solid var(--line);margin:1.5rem 0 0;padding-top:1rem}dd{margin:0}
code,pre{font:.86em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}code{background:var(--code);border-radius:4px;padding:.1em .3em}
pre{background:var(--code);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem;overflow-x:auto;overflow-wrap:normal;white-space:pre;margin:.5rem 0}pre code{padding:0;background:none}
.button{display:inline-block;margin:.3rem .5rem .3rem 0;padding:.45rem 1rem;border-radius:6px;background:var(--link);color:var(--card);text-decoration:none;font-weight:600}
details{border-top:1px solid var(--line);padding:.55rem 0}summary{cursor:pointer;font-weight:600}summary .soft{font-weight:400;margin-left:.4rem}ul details{border:0;padding:0}ul summary{font-weight:400}h3{font:600 .9rem/1.5 inherit;margin:.8rem 0 0;color:var(--soft)}ul{padding-left:1.2rem;margin:.4rem 0}.soft{color:var(--soft);font-size:.92rem}`

export interface PageParts {
  readonly title: string
  /** Of the bar on top, a CSS colour. */
  readonly accent: string
  /** CSS length. */
  readonly width: string
  /** HTML, its texts escaped. */
  readonly body: string
}

export function pageHtml({ title, accent, width, body }: PageParts): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><title>${escapeHtml(title)}</title>
<style>${STYLE}
:root{--accent:${accent}}main{max-width:${width}}</style></head>
<body><main><h1>${escapeHtml(title)}</h1>
${body}
</main></body></html>
`
}

/** For texts and for attribute values in quotes. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
