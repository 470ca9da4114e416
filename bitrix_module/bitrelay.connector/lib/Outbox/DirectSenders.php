<?php

// Promises: events that are sent around the event provider (REST SMS) are stored too, not lost.
// Leans on: main:OnHttpClientBuildRequest, which sees every request of the portal before it leaves.
// Must never: touch a request that is not an event call to the portal's OAuth server.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrelay\Connector\Relay\RelayClient;
use Bitrelay\Connector\Settings;
use Bitrix\Main\Loader;
use Bitrix\Main\Web\Http\NetworkException;
use Bitrix\Main\Web\Http\RequestEvent;
use Bitrix\Main\Web\Http\RequestEventResult;
use Bitrix\Main\Web\Http\Stream;
use Psr\Http\Message\RequestInterface;

final class DirectSenders
{
    private const PATH = '#/rest/rest\.event\.call(\.json)?/?$#';

    public function __construct(
        private readonly Settings $settings,
        private readonly Routing $routing,
        private readonly Capture $capture,
    ) {
    }

    /** @throws NetworkException when every item is in the outbox: the sender sees a failed request, as documented */
    public function intercept(RequestEvent $event): void
    {
        $request = $event->getRequest();
        if (RelayClient::isSpeaking() || !$this->isEventCall($request)) {
            return;
        }
        $body = $request->getBody();
        $form = FormBody::read((string)$body);
        $body->rewind();
        if ($form === null) {
            return;
        }
        $items = $form->items();
        $ours = array_filter($items, $this->routing->isRelays(...));
        if ($ours === [] || !$this->capture->store(array_values($ours))) {
            return;
        }
        $this->capture->queueCourier();
        if (count($ours) === count($items)) {
            throw new NetworkException($request, 'bitrelay: the event is in the outbox');
        }
        $event->addResult(new RequestEventResult(self::withBody($request, $form->without(array_keys($ours)))));
    }

    private function isEventCall(RequestInterface $request): bool
    {
        $uri = $request->getUri();
        if (strtoupper($request->getMethod()) !== 'POST' || preg_match(self::PATH, $uri->getPath()) !== 1) {
            return false;
        }
        $host = strtolower($uri->getHost());
        if (!Loader::includeModule('rest')) {
            return false;
        }
        return $host === $this->settings->relayHost()
            || $host === strtolower((string)parse_url((string)\Bitrix\Rest\OAuth\Client::SERVICE_URL, PHP_URL_HOST));
    }

    private static function withBody(RequestInterface $request, string $body): RequestInterface
    {
        $stream = new Stream('php://temp', 'r+');
        $stream->write($body);
        $stream->rewind();
        return $request->withBody($stream)->withHeader('Content-Length', (string)strlen($body));
    }
}
