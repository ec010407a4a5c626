"""The style sheet of a report: for a phone and for paper, light or dark as the reader's screen is."""

STYLE = """
:root{color-scheme:light dark;--text:#1b1f24;--muted:#57606a;--back:#fff;--card:#f5f7f9;--line:#d5dbe1;--blue:#0072b2;
--orange:#d55e00;--green:#009e73;--good:#00694d;--bad:#a8480a}
@media screen and (prefers-color-scheme:dark){:root{--text:#e6e8eb;--muted:#a3adb7;--back:#14171b;--card:#1e2328;
--line:#39414a;--blue:#5eb5ea;--orange:#f0883e;--green:#2fc39a;--good:#4cc9a0;--bad:#f0975a}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(1rem,4vw,2.5rem) 4rem;max-width:74rem;background:var(--back);color:var(--text);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.35rem;margin:2.6rem 0 .8rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.5rem 0 .5rem}
p,ul{max-width:46rem;margin:.4rem 0 .8rem}
header p{font-size:1.08rem}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin-top:.8rem}
a{color:var(--blue);text-underline-offset:.2em}
.muted{color:var(--muted)}
.key{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:.8rem;margin:.6rem 0 1rem}
.key div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.7rem .9rem}
.key dt{color:var(--muted);font-size:.92rem}
.key dd{margin:0}
.key b{display:block;font-size:1.75rem;line-height:1.25;font-variant-numeric:tabular-nums}
.key span{color:var(--muted);font-size:.88rem}
.row{display:flex;flex-wrap:wrap;gap:1rem 1.5rem;align-items:flex-start}
.row>div{flex:1 1 21rem;min-width:0}
figure{margin:0 0 .8rem;min-width:0}
.row>figure{flex:1 1 18rem}
svg{display:block;width:100%;height:auto}
figcaption{margin-top:.35rem;color:var(--muted);font-size:.9rem;line-height:1.4}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.95rem}
th,td{text-align:left;vertical-align:top;padding:.3rem 1.2rem .3rem 0;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
thead th{color:var(--muted);font-weight:600}
tbody th{font-weight:500;overflow-wrap:normal}
pre{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem;white-space:pre-wrap;
overflow-wrap:anywhere}
code{font:.92rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(14.5rem,1fr));gap:1rem;margin:.6rem 0 1rem}
.gallery figure{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem;margin:0}
.gallery figcaption{margin-top:0}
.gallery figure>div{display:flex;gap:.35rem;margin-bottom:.45rem}
.gallery img{display:block;flex:1 1 0;min-width:0;height:auto;border-radius:.25rem}
.gallery b{font-size:1.12rem;letter-spacing:.04em;color:var(--text)}
.gallery u{text-decoration-thickness:.14em;text-underline-offset:.18em}
.good{color:var(--good)}
.bad{color:var(--bad)}
@media (max-width:30rem){.gallery{grid-template-columns:repeat(2,minmax(0,1fr));gap:.6rem}h1{font-size:1.5rem}
.key{grid-template-columns:1fr 1fr}.key b{font-size:1.4rem}th,td{padding-right:.7rem}}
@media print{:root{color-scheme:light}body{max-width:none;padding:0;font-size:10.5pt}nav{display:none}
h2,h3{break-after:avoid}figure,.key div,tr,pre{break-inside:avoid}.gallery{grid-template-columns:repeat(4,1fr)}
.muted{break-after:avoid}}
"""
