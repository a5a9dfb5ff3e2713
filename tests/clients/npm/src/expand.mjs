// jsonld.js expands the documents of a server: URL and token, then paths -> JSON, one expansion for each path.
// Contexts are loaded from the server alone, without a token.
import jsonld from "jsonld";

const [url, token, ...paths] = process.argv.slice(2);

async function documentLoader(contextUrl) {
  if (!contextUrl.startsWith(`${url}/api/contexts/`)) throw new Error(`a context from elsewhere: ${contextUrl}`);
  const response = await fetch(contextUrl);
  return { document: await response.json(), documentUrl: contextUrl, contextUrl: null };
}

const expansions = [];
for (const path of paths) {
  const response = await fetch(`${url}${path}`, { headers: { Authorization: `Bearer ${token}` } });
  expansions.push(await jsonld.expand(await response.json(), { base: `${url}${path}`, documentLoader }));
}
console.log(JSON.stringify(expansions));
