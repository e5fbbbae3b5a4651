"use strict";
// Nothing here is needed for reading: new calls by themselves, copying, and a question before a purge.
const rows = document.getElementById("rows");
if (rows && rows.dataset.live) {
  const look = async () => {
    if (!document.hidden) {
      const query = new URLSearchParams(location.search);
      query.set("after", rows.dataset.latest);
      try {
        const answer = await fetch(rows.dataset.live + "?" + query, { credentials: "same-origin" });
        const made = document.createElement("tbody");
        if (answer.ok) made.innerHTML = await answer.text(); // escaped by the server; the policy runs no script in it
        const fresh = [...made.querySelectorAll("tr")];
        if (fresh.length && rows.dataset.empty) location.reload();
        else if (fresh.length) {
          rows.dataset.latest = fresh[0].dataset.id;
          for (const row of fresh) row.classList.add("fresh");
          rows.prepend(...fresh);
          while (rows.children.length > 200) rows.lastElementChild.remove();
        }
      } catch { /* the gateway is away; the next look may find it again */ }
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 1000);
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const said = button.textContent;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}
for (const button of document.querySelectorAll("[data-confirm]"))
  button.form.addEventListener("submit", (event) => { if (!confirm(button.dataset.confirm)) event.preventDefault(); });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { const field = document.querySelector("input[type=search]"); if (field) { field.focus(); event.preventDefault(); } }
  const links = [...document.querySelectorAll("tbody .question a")];
  const here = links.indexOf(document.activeElement);
  if (event.key === "j" && links.length) links[Math.min(here + 1, links.length - 1)].focus();
  if (event.key === "k" && here > 0) links[here - 1].focus();
});
