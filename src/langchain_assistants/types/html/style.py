"""The one stylesheet.

Its rules are more specific than any notebook's own for code and preformatted text.
Text takes the notebook's colours, areas are translucent grey, badges bring their own
background: so it is legible in light and in dark themes, whoever says which it is.
"""

from __future__ import annotations

# `:not(#lca)` is always true, and makes a rule as specific as one for an id.
_ROOT = ".lca-view:not(#lca)"

STYLE = """
.lca-view{max-width:60em;font-size:14px;line-height:1.5;color:inherit;
 overflow-wrap:anywhere}
.lca-view *{box-sizing:border-box}
.lca-view pre,.lca-view code{background:none;border:0;color:inherit;margin:0;
 padding:0}
.lca-view code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;
 overflow-wrap:anywhere;unicode-bidi:isolate}
.lca-view pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12.5px;
 line-height:1.5;font-family:ui-monospace,Menlo,Consolas,monospace}
.lca-view pre.lca-text{font:inherit;font-size:14px;line-height:1.55}
.lca-view pre.lca-code{margin:6px 0;padding:8px 10px;border-radius:6px;
 background:rgba(128,128,128,.15)}
.lca-view pre.lca-output{max-height:24em;overflow-y:auto;margin-top:4px;
 padding-left:10px;border-left:2px solid rgba(128,128,128,.4)}
.lca-view a{color:inherit;text-decoration:underline}
.lca-view summary{cursor:pointer;font-size:12.5px;opacity:.75}
.lca-view .lca-steps{margin-top:10px}
.lca-view .lca-name{font-weight:600}
.lca-view .lca-muted{font-size:12.5px;opacity:.72}
.lca-view .lca-note{margin:8px 0;font-size:12.5px;opacity:.72}
.lca-view .lca-head{display:flex;flex-wrap:wrap;align-items:center;gap:3px 12px}
.lca-view .lca-title{font-weight:600}
.lca-view .lca-end{margin-left:auto}
.lca-view .lca-badge{display:inline-block;padding:0 8px;border-radius:9px;
 font-size:12px;line-height:18px;font-weight:600;white-space:nowrap;
 color:#fff;background:#5f6b76}
.lca-view .lca-badge.lca-good{background:#1a7f37}
.lca-view .lca-badge.lca-busy{background:#0969da}
.lca-view .lca-badge.lca-ask{background:#9a6700}
.lca-view .lca-badge.lca-bad{background:#cf222e}
.lca-view .lca-card{padding:12px 16px;border-radius:10px;
 border:1px solid rgba(128,128,128,.35)}
.lca-view .lca-card+.lca-card{margin-top:8px}
.lca-view .lca-box{margin-top:10px;padding:8px 12px;border-radius:6px;
 border-left:4px solid #8a949e;background:rgba(128,128,128,.12)}
.lca-view .lca-box.lca-bad{border-color:#e5534b;background:rgba(229,83,75,.13)}
.lca-view .lca-box.lca-ask{border-color:#c69026;background:rgba(198,144,38,.14)}
.lca-view .lca-step{position:relative;padding:0 0 12px 26px}
.lca-view .lca-step:last-child{padding-bottom:0}
.lca-view .lca-step::before{content:"";position:absolute;left:2px;top:5px;
 width:12px;height:12px;border-radius:50%;background:#8a949e}
.lca-view .lca-step:not(:last-child)::after{content:"";position:absolute;left:7px;
 top:21px;bottom:-1px;width:2px;background:rgba(128,128,128,.35)}
.lca-view .lca-step.lca-good::before{background:#2da44e}
.lca-view .lca-step.lca-busy::before{background:#388bfd}
.lca-view .lca-step.lca-bad::before{background:#e5534b}
.lca-view .lca-call{margin-top:6px;padding:7px 11px;border-radius:7px;
 background:rgba(128,128,128,.12)}
.lca-view .lca-turn{display:flex;flex-direction:column;align-items:flex-start;
 margin-top:12px}
.lca-view .lca-turn.lca-user{align-items:flex-end}
.lca-view .lca-bubble{max-width:86%;padding:8px 13px;border-radius:14px;
 border-bottom-left-radius:4px;background:rgba(128,128,128,.15)}
.lca-view .lca-user .lca-bubble{border-radius:14px;border-bottom-right-radius:4px;
 background:rgba(56,139,253,.2)}
.lca-view .lca-step .lca-bubble{max-width:none;margin-top:6px;border-radius:7px}
.lca-view .lca-picture{display:block;max-width:100%;max-height:320px;margin:6px 0;
 border-radius:6px}
.lca-view .lca-foot{margin-top:6px;padding-top:5px;font-size:12.5px;
 border-top:1px solid rgba(128,128,128,.35)}
.lca-view .lca-row{padding:5px 0}
.lca-view .lca-row+.lca-row{border-top:1px solid rgba(128,128,128,.25)}
.lca-view .lca-call+.lca-head{margin-top:8px}
.lca-view .lca-card>:last-child,.lca-view .lca-bubble>pre:last-child{margin-bottom:0}
""".replace(".lca-view", _ROOT)
