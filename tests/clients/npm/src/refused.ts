// What the types must refuse: tsc fails where a line below a @ts-expect-error is no error.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: "" });

// @ts-expect-error a new user has a name and an e-mail
void client.POST("/api/users", { body: { username: "alone" } });
// @ts-expect-error a name is text
void client.POST("/api/users", { body: { username: 1, email: "x@example.com" } });
// @ts-expect-error a website is never null
void client.POST("/api/users", { body: { username: "x", email: "x@example.com", website: null } });
// @ts-expect-error an id is a number
void client.GET("/api/users/{id}", { params: { path: { id: "one" } } });
// @ts-expect-error there is no such operation
void client.DELETE("/api/users", {});
