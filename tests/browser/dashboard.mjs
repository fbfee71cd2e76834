// The person at the browser: see dashboard.py, which starts the fleet and this script.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value;
const told = JSON.parse(await nextLine());
const require = createRequire(join(told.packages, "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PATIENCE_MS = 30_000;
const DESK = { width: 1280, height: 860 };
const TELEPHONE = { width: 390, height: 844 };
const SCREENS = ["fleet", "batches", "jobs", "failures", "doubt", "review", "audit", "webhooks", "workers", "limits"];
// Chromium asks for these by itself; they are no request of a page.
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"];

const browser = await chromium.launch({ executablePath: told.chromium, args: ARGUMENTS });
const faults = [];
let lenient = false;

function check(what, truth) {
  if (!truth) throw new Error(what);
}

// A browser window whose every complaint counts.
async function open(options = {}) {
  const context = await browser.newContext({ baseURL: told.base, viewport: DESK, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("console", (line) => {
    if (line.type() === "error" && !lenient) faults.push(`console on ${page.url()}: ${line.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error on ${page.url()}: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(told.base) && !url.startsWith("data:")) faults.push(`asked elsewhere: ${url}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  }).catch(() => {});
  return page;
}

async function logIn(page, key) {
  await page.goto("/");
  await page.fill("#key", key);
  await page.click("button[type=submit]");
  await page.waitForURL("**/ui/fleet");
}

async function post(body) {
  const headers = { authorization: `Bearer ${told.operator}`, "content-type": "application/json" };
  const answer = await fetch(`${told.api}/v1/jobs`, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()).id;
}

const film = (prompt) => ({ model: "seedance-2.0", content: [{ type: "text", text: prompt }], duration: 4 });

async function scenario(name, play) {
  const started = Date.now();
  await play();
  if (faults.length > 0) throw new Error(`${name}:\n  ${faults.join("\n  ")}`);
  console.log(`dashboard: ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

const chief = await open();

await scenario("a key opens the door", async () => {
  await logIn(chief, told.chief);
  check("the sentence is there", await chief.locator(".limit strong").textContent());
});

await scenario("a job walks to its end without a reload", async () => {
  const id = await post(film("a kite over a harbour"));
  await chief.goto(`/ui/jobs/${id}`);
  await chief.evaluate(() => { window.sameDocument = true; });
  await chief.waitForSelector("video");
  await chief.waitForSelector(".lede .s-succeeded");
  check("the document is still the same", await chief.evaluate(() => window.sameDocument));
  await chief.waitForFunction(() => document.querySelector("video").readyState >= 2 ||
    (document.querySelector("video").preload = "auto", document.querySelector("video").load(), false),
    null, { polling: 500 });
});

await scenario("a filter survives a reload", async () => {
  await chief.goto("/ui/jobs");
  await chief.keyboard.press("/");
  check("the key leads to the field", await chief.evaluate(() => document.activeElement.id) === "where");
  await chief.keyboard.type("state=succeeded batch=spring-ads");
  await chief.keyboard.press("Enter");
  await chief.waitForURL("**/ui/jobs?where=*");
  await chief.reload();
  check("the field shows it", await chief.inputValue("#where") === "state=succeeded batch=spring-ads");
});

await scenario("keys lead through rows and screens", async () => {
  await chief.goto("/ui/jobs");
  await chief.keyboard.press("j");
  await chief.keyboard.press("j");
  const href = await chief.evaluate(() => document.activeElement.getAttribute("href"));
  await chief.keyboard.press("Enter");
  await chief.waitForURL(`**${href}`);
  await chief.keyboard.press("g");
  await chief.keyboard.press("b");
  await chief.waitForURL("**/ui/batches");
  await chief.keyboard.press("Shift+?");
  check("the list of keys is shown", await chief.locator("#keys").isVisible());
  await chief.keyboard.press("Escape");
});

await scenario("many are cancelled after a count and a reason", async () => {
  const useful = new Date(Date.now() + 3_600_000).toISOString();
  for (let n = 0; n < 3; n += 1) await post({ ...film(`to be stopped ${n}`), batch: "stopped", useful_until: useful });
  await chief.goto("/ui/jobs?where=batch%3Dstopped");
  await chief.click("text=Act on all that match");
  await chief.click("button[value=cancel]");
  check("it counts", /3\s+jobs fit/.test(await chief.locator("main").textContent()));
  const decide = chief.locator(".decide");
  if (await decide.count() > 0) {
    check("a reason is required", await decide.locator("input[name=reason]").getAttribute("required") !== null);
    await decide.locator("input[name=reason]").fill("the campaign is off");
    await decide.locator("button[type=submit]").click();
    await chief.waitForURL("**said=many**");
    check("it says what was done", await chief.locator(".notice").isVisible());
  }
});

await scenario("a viewer has no buttons and may not post", async () => {
  const viewer = await open();
  await logIn(viewer, told.viewer);
  await viewer.goto("/ui/jobs");
  check("one form, to log out", await viewer.locator("form[method=post]").count() === 1);
  const csrf = await viewer.locator("input[name=csrf]").first().inputValue();
  lenient = true;
  const status = await viewer.evaluate(async (csrf) => {
    const body = new URLSearchParams({ csrf, verb: "cancel", where: "", reason: "x" });
    return (await fetch("/ui/jobs/act", { method: "POST", body })).status;
  }, csrf);
  lenient = false;
  check(`403 and not ${status}`, status === 403);
  await viewer.context().close();
});

await scenario("the page follows the fleet again after the gateway was killed", async () => {
  await chief.goto("/ui/fleet");
  await chief.waitForSelector("html[data-stream=open]");
  lenient = true;
  console.log("restart");
  check("the gateway is back", await nextLine() === "restarted");
  await chief.waitForSelector("html[data-stream=lost]", { timeout: PATIENCE_MS, state: "attached" });
  await chief.waitForSelector("html[data-stream=open]", { timeout: PATIENCE_MS, state: "attached" });
  lenient = false;
  const before = await chief.locator("#states ~ .legend").textContent();
  await post(film("after the restart"));
  await chief.waitForFunction((before) =>
    document.querySelector("#states ~ .legend").textContent !== before, before);
});

await scenario("reading and acting without scripts", async () => {
  const plain = await open({ javaScriptEnabled: false });
  await logIn(plain, told.chief);
  const id = await post(film("stopped without a script"));
  await plain.goto(`/ui/jobs/${id}`);
  check("the job is shown", (await plain.locator("main").textContent()).includes("stopped without a script"));
  const cancel = plain.locator("form[action$='/cancel']");
  if (await cancel.count() > 0) {
    await plain.click("summary:has-text('Cancel')");
    await cancel.locator("input[name=reason]").fill("without a script");
    await cancel.locator("button").click();
    await plain.waitForURL("**said=*");
    check("it says what was done", await plain.locator(".notice").isVisible());
  }
  await plain.context().close();
});

await scenario("the pages are sound, on a desk and a telephone, in light and dark", async () => {
  const job = await post(film("to be looked at"));
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, viewport] of [["desk", DESK], ["telephone", TELEPHONE]]) {
      const page = await open({ colorScheme, viewport });
      await page.goto("/ui/login");
      await sound(page, `login-${name}-${colorScheme}`);
      await logIn(page, told.chief);
      for (const screen of [...SCREENS, "batches/spring-ads", `jobs/${job}`]) {
        await page.goto(`/ui/${screen}`);
        await sound(page, `${screen.split("/").slice(0, 2).join("-").replace(job, "one")}-${name}-${colorScheme}`);
      }
      await page.context().close();
    }
  }
});

// No serious finding, nothing that runs out of the window, and a picture for people.
async function sound(page, name) {
  await page.screenshot({ path: join(told.pictures, `${name}.png`), fullPage: true, caret: "initial" });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (overflow > 0) faults.push(`${name}: ${overflow} px too wide`);
  // axe is put in by the browser's own tools, past the page's policy, as an extension would be.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: axe });
  const { result } = await client.send("Runtime.evaluate", {
    expression: "axe.run({ resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations))",
    awaitPromise: true,
  });
  const grave = JSON.parse(result.value).filter((found) => ["serious", "critical"].includes(found.impact));
  for (const found of grave) {
    faults.push(`${name}: ${found.id}: ${found.nodes.map((node) => node.target.join(" ")).slice(0, 4).join("; ")}`);
  }
  await client.detach();
}

await browser.close();
