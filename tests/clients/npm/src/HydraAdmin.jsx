// <HydraAdmin> with all its defaults, parser and dataProvider too: what a person sees and does. Its fetch carries the token.
import { cleanup, configure, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HydraAdmin } from "@api-platform/admin";

configure({ asyncUtilTimeout: 100_000, getElementError: (message) => new Error(`${message}\n${document.body.textContent}`) });
window.matchMedia = () => ({ matches: true, addListener() {}, removeListener() {}, addEventListener() {}, removeEventListener() {} });
window.scrollTo = () => {};

export function testHydraAdmin(server) {
  const { ask, entrypoint, headers } = server;
  const realFetch = globalThis.fetch;
  let written;

  beforeEach(() => {
    written = [];
    globalThis.fetch = (url, options = {}) => {
      if (options.body) written.push([options.method, String(url), JSON.parse(options.body)]);
      const own = new Headers(options.headers);
      own.set("Authorization", headers.Authorization);
      return realFetch(url, { ...options, headers: own });
    };
  });

  afterEach(() => {
    cleanup();
    globalThis.fetch = realFetch;
    localStorage.clear(); // it keeps the order of the list
  });

  function open(path) {
    window.location.hash = `#${path}`;
    render(<HydraAdmin entrypoint={entrypoint} disableTelemetry />);
  }

  const input = (label) => screen.findByLabelText(new RegExp(`^${label}( \\*)?$`));
  const type = async (label, value) => fireEvent.change(await input(label), { target: { value } });

  async function save() {
    const button = screen.getByRole("button", { name: "Save" });
    await waitFor(() => expect(button.disabled).toBe(false));
    fireEvent.click(button);
  }

  test("the list shows every readable field of every user", async () => {
    open("/users");
    const table = await screen.findByRole("table");
    const labels = within(table).getAllByRole("columnheader").map(({ textContent }) => textContent);
    for (const label of ["Username", "Firstname", "Lastname", "Email", "Expires at", "Roles", "Full name", "Password updated at"]) {
      expect(labels).toContain(label);
    }
    const row = within(table).getByText("alice@example.com").closest("tr");
    expect(row.textContent).toContain("Liddell");
    // By what it may be sorted, it learns from the collection.
    const first = () => within(screen.getByRole("table")).getAllByRole("row")[1].textContent;
    const sorters = () => [...document.querySelectorAll("th .MuiTableSortLabel-root")];
    await waitFor(() => expect(sorters().map(({ textContent }) => textContent)).toEqual(["Username", "Firstname", "Lastname"]));
    expect(first()).toContain("admin@example.com");
    fireEvent.click(sorters()[0]);
    await waitFor(() => expect(sorters()[0].getAttribute("class")).toContain("Mui-active"));
    fireEvent.click(sorters()[0]);
    await waitFor(() => expect(first()).toContain("user40@example.com"));
  });

  test("a user is created, and what is wrong is said at its field", async () => {
    open("/users/create");
    await type("Username", "alice");
    await type("Email", "gryphon@example.com");
    await type("Firstname", "Gryphon");
    await type("Plain password", "will you, won't you");
    await save();
    const message = await screen.findByText("This value is already used.");
    expect(message.id).toBe((await input("Username")).getAttribute("aria-describedby"));
    await type("Username", "gryphon");
    await save();
    expect(await screen.findByText("Element created")).toBeTruthy();
    const { "hydra:member": found } = await ask("/api/users?username=gryphon");
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ email: "gryphon@example.com", firstname: "Gryphon", roles: ["ROLE_USER"] });
  });

  test("a user is edited: the whole record is sent back with PUT", async () => {
    const path = "/api/users/3";
    // What is empty, it sends as null, which is refused of these two.
    await ask(path, {
      method: "PATCH",
      headers: { "Content-Type": "application/merge-patch+json" },
      body: JSON.stringify({ website: "https://example.com", biography: "Builds." }),
    });
    const before = await ask(path);
    open(`/users/${encodeURIComponent(path)}`);
    await waitFor(async () => expect((await input("Username")).value).toBe("bob"));
    expect((await input("Lastname")).value).toBe("Böb");
    await type("Phone", "+32 2 123 45 67");
    await save();
    await waitFor(async () => expect(await ask(path)).toEqual({ ...before, phone: "+32 2 123 45 67" }));
    const [method, url, record] = written.at(-1);
    expect([method, url]).toEqual(["PUT", `${entrypoint}/users/3`]);
    expect(record).toMatchObject({ ...before, id: path, phone: "+32 2 123 45 67" });
  });
}
