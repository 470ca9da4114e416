<?php

// Promises: a request that never got an answer.
// Leans on: ClientException.
// Must never: be caught by the event manager.

declare(strict_types=1);


namespace Bitrix\Main\Web\Http;

use Psr\Http\Client\NetworkExceptionInterface;

class NetworkException extends ClientException implements NetworkExceptionInterface
{
}
