// What @api-platform/api-doc-parser makes of the server's documents, with its defaults. URL -> JSON.
import { parseHydraDocumentation, parseOpenApi3Documentation } from "@api-platform/api-doc-parser";

const [url] = process.argv.slice(2);

const fieldOf = ({ name, range, type, required, description }) => ({ name, range, type, required, description });

function describe({ api, status }) {
  return {
    status,
    title: api.title,
    entrypoint: api.entrypoint,
    resources: api.resources.map((resource) => ({
      name: resource.name,
      url: resource.url,
      id: resource.id,
      title: resource.title,
      fields: resource.fields.map(fieldOf),
      readable: resource.readableFields.map(({ name }) => name),
      writable: resource.writableFields.map(({ name }) => name),
      operations: resource.operations.map(({ name, type, method, expects, returns }) => ({ name, type, method, expects, returns })),
      parameters: resource.parameters.map(({ variable }) => variable),
    })),
  };
}

const hydra = describe(await parseHydraDocumentation(`${url}/api`));
const openapi = describe(await parseOpenApi3Documentation(`${url}/api/docs`));
console.log(JSON.stringify({ hydra, openapi }, null, 1));
